default_scope = 'mmvad'
runner_type = 'StagedRunner'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Two are kept, so that one is whole if a run is killed while it writes the other.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=1),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
log_level = 'INFO'
# More backends, such as TensorboardVisBackend, may stand here.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='VADVisualizer', vis_backends=vis_backends)
load_from = None
resume = False
