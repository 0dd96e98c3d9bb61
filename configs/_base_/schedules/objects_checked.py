# The stages of objects.py, with a self-check that says which terms count and what would be found.
_base_ = './objects.py'
stages = dict(
    anomalies=dict(type='AnomaliesStage', moments=120),
    calibrate=dict(model_file='objects.pth', self_check=True),
    test=dict(evaluator=dict(tracking=dict(_delete_=True, sigma=5.0, min_iou=0.1))),
)
