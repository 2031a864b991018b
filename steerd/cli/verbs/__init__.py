"""What the verbs of `steerd` do, one file each; imported when they are used."""
