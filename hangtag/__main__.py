"""`python -m hangtag`, which is also what `accelerate launch -m hangtag` runs."""

from hangtag.cli.app import main

if __name__ == "__main__":
    main()
