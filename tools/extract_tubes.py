"""Find the objects of every video of a staged config: train.py's stage ``tubes``."""

from train import run

if __name__ == '__main__':
    run(stage='tubes')
