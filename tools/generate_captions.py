"""Describe every training tube of a staged config: train.py's stage ``captions``."""

from train import main

if __name__ == '__main__':
    main(stage='captions')
