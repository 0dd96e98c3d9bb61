# A temporal convolution over the steps.
_base_ = './base.py'
model = dict(cls_head=dict(mixer=dict(type='mmvad.ConvMixer')))
