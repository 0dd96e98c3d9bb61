"""``python -m mmvad``: the command ``mmvad`` where only the interpreter is at hand."""

from mmvad.cli import main

if __name__ == '__main__':
    main()
