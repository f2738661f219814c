"""Tables 4 and 5 by one command each: does augmenting with LEGAN make a recogniser, or a classifier of expressions, better?"""
