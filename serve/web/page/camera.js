// A picture from the camera, in a dialog; where the browser lends none to this address, the system's own chooser.

const byId = (id) => document.getElementById(id);

/** Wire the button; `taken(file)` gets the picture, `failed(message)` is told why there is none. */
export function camera(taken, failed) {
  const dialog = byId("camera"), video = byId("video");

  byId("camera-open").onclick = async () => {
    if (!navigator.mediaDevices?.getUserMedia) { // only https and localhost are lent the camera
      const chooser = Object.assign(document.createElement("input"), { type: "file", accept: "image/*", capture: "user" });
      chooser.onchange = () => chooser.files[0] && taken(chooser.files[0]);
      chooser.click();
      return;
    }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
      dialog.showModal();
    } catch (error) {
      failed(error.name === "NotAllowedError"
        ? "The camera was not allowed. Allow it for this address in the browser's settings, or choose a picture."
        : "No camera can be used here. Choose a picture instead.");
    }
  };
  byId("camera-take").onclick = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => blob ? taken(new File([blob], "camera.jpg", { type: blob.type })) : failed("The camera gave no picture; try again."), "image/jpeg", 0.95);
  };
  byId("camera-close").onclick = () => dialog.close();
  dialog.onclose = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  };
}
