# One camera, in whose views people stand about, and the sun shines.
proposer = dict(
    type='ForegroundProposer',
    background='split',
    threshold=20,
    shadow=(0.4, 0.97),
    min_overlap=0.3,
)
captioner = dict(type='AttributeCaptioner')
