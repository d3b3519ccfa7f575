"""What the job of the soak imports; it is written anew now and then."""

VERSION = 0
