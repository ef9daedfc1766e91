"""``python -m inpaint_transform``: the command line."""

from inpaint_transform.tools.cli import main

if __name__ == "__main__":
    main()
