"""Find the objects of every video of a staged config: train.py's stage ``tubes``."""

from train import main

if __name__ == '__main__':
    main(stage='tubes')
