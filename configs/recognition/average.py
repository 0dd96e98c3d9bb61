# Each step by itself, then the average.
_base_ = './base.py'
