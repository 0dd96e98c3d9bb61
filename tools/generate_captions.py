"""Describe every training tube of a staged config: train.py's stage ``captions``."""

from train import run

if __name__ == '__main__':
    run(stage='captions')
