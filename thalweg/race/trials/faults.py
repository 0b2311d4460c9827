"""What a user's code may raise without ending the race: a trial of it has failed, no more."""

FAULTS = (Exception, SystemExit)
