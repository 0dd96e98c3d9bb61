# What needs no weights: boxes by background subtraction, captions from measured attributes.
proposer = dict(type='ForegroundProposer', threshold=25, blur=0.5, min_overlap=0.3)
captioner = dict(type='AttributeCaptioner')
