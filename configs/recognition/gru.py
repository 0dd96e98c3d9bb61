# A gated recurrent unit over the steps.
_base_ = './base.py'
model = dict(cls_head=dict(mixer=dict(type='mmvad.GRUMixer')))
