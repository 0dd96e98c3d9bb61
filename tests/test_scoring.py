"""Terms of a score, and the scorer that adds them up."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from mmvad.models import NearestDistance, ObjectScorer, PredictionError
from mmvad.models.scoring import LocalScale, TailProbability

TERMS = dict(
    smm=dict(type='PredictionError', weight=1.0),
    action=dict(type='NearestDistance', of='action', weight=0.5, dims=8, neighbours=3),
    appearance=dict(type='NearestDistance', of='appearance', weight=2.0, dims=8, neighbours=3),
    attributes=dict(type='NearestDistance', of='attributes', weight=4.0, neighbours=3),
)
CHANNELS = dict(spatial=('action', 'appearance'), both=('smm', 'action', 'appearance'))
#: What each term looks at.
OF = dict(smm='prediction_error', action='action', appearance='appearance', attributes='attributes')


def data(n=300) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """What the scorer takes, of training objects in five videos; the videos; the last held out."""
    generator = torch.Generator().manual_seed(0)

    def draw(dims: int, low: float, high: float) -> torch.Tensor:
        mixed = torch.randn(n, dims, generator=generator) * torch.linspace(low, high, dims)
        return mixed @ torch.linalg.qr(torch.randn(dims, dims, generator=generator))[0] + low

    values = dict(
        prediction_error=torch.rand(n, generator=generator) + 0.1,
        action=draw(12, 1, 3),
        appearance=draw(12, 0.1, 2),
        attributes=draw(3, 1, 5) * torch.tensor([1.0, 10.0, 0.1]),
    )
    videos = torch.arange(n) % 5
    return values, videos, videos == 4


def some(*names: str) -> dict[str, dict]:
    """Some of the terms."""
    return {name: TERMS[name] for name in names}


class TestNearestDistance:
    @pytest.mark.parametrize('name', ['action', 'appearance'])
    def test_principal_components_are_compared_as_scikit_learn_would(self, name):
        values, *where = data()
        term = NearestDistance(name, dims=5, num_reference=1000, neighbours=4)
        term.fit(values[name], *where)
        pca = PCA(5).fit(values[name].numpy())
        new = values[name][:20] * 1.3 + 0.2
        nearest = NearestNeighbors(n_neighbors=4).fit(pca.transform(values[name].numpy()))
        expected = nearest.kneighbors(pca.transform(new.numpy()))[0].mean(axis=1)
        np.testing.assert_allclose(term(new), expected, rtol=2e-3)

    def test_without_dims_the_numbers_are_standardised(self):
        values, *where = data()
        term = NearestDistance('attributes', num_reference=1000, neighbours=2)
        term.fit(values['attributes'], *where)
        scale = StandardScaler().fit(values['attributes'].numpy())
        new = values['attributes'][:20] * 1.1
        nearest = NearestNeighbors(n_neighbors=2)
        nearest.fit(scale.transform(values['attributes'].numpy()))
        expected = nearest.kneighbors(scale.transform(new.numpy()))[0].mean(axis=1)
        # n or n - 1 in the standard deviation.
        np.testing.assert_allclose(term(new), expected, rtol=5e-3)

    def test_components_of_standardised_numbers(self):
        values, *where = data()
        term = NearestDistance('x', dims=2, standardize=True, num_reference=1000, neighbours=4)
        term.fit(values['attributes'].reshape(300, 3, 1), *where)
        scale = StandardScaler().fit(values['attributes'].numpy())
        pca = PCA(2).fit(scale.transform(values['attributes'].numpy()))
        found = pca.transform(scale.transform(values['attributes'].numpy()))
        nearest = NearestNeighbors(n_neighbors=4).fit(found)
        new = values['attributes'][:20] * 1.3
        expected = nearest.kneighbors(pca.transform(scale.transform(new.numpy())))[0].mean(axis=1)
        np.testing.assert_allclose(term(new.reshape(20, 3, 1)), expected, rtol=5e-3)

    def test_in_training_an_objects_own_video_is_left_out(self):
        values, videos, held_out = data()
        term = NearestDistance('action', dims=12, num_reference=1000, neighbours=3)
        fitted, unseen = term.fit(values['action'], videos, held_out)
        patterns, owners = values['action'].numpy(), videos.numpy()
        pairs = np.linalg.norm(patterns[:, None] - patterns[None], axis=-1)
        pairs[owners[:, None] == owners[None]] = np.inf
        np.testing.assert_allclose(fitted, np.sort(pairs)[:, :3].mean(axis=1), rtol=2e-3)
        # So all of them are as good as never seen, held out or not.
        assert unseen.all() and unseen.shape == (300,)

    def test_of_a_single_video_the_part_that_is_held_out_stands_in_for_another(self):
        values, videos, _ = data()
        held_out = torch.arange(300) >= 240
        term = NearestDistance('action', dims=12, num_reference=1000, neighbours=3)
        fitted, unseen = term.fit(values['action'], torch.zeros_like(videos), held_out)
        patterns, late = values['action'].numpy(), held_out.numpy()
        pairs = np.linalg.norm(patterns[:, None] - patterns[None], axis=-1)
        pairs[late[:, None] == late[None]] = np.inf
        np.testing.assert_allclose(fitted, np.sort(pairs)[:, :3].mean(axis=1), rtol=2e-3)
        assert unseen.all()

    def test_as_many_references_are_kept_as_are_asked_for(self):
        values, *where = data()
        term = NearestDistance('action', dims=12, num_reference=40, neighbours=1)
        term.fit(values['action'], *where)
        assert term.reference.shape == (40, 12)
        # The references are training objects: each is at no distance of itself.
        assert (term(values['action']) < 1e-2).sum() == 40

    def test_a_video_with_all_other_references_few_averages_those_there_are(self):
        values = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
        term = NearestDistance('x', num_reference=4, neighbours=3)
        fitted, _ = term.fit(values, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1]).bool())
        std = values.std()
        np.testing.assert_allclose(fitted[:3] * std, [10, 9, 8], rtol=1e-4)
        np.testing.assert_allclose(fitted[3] * std, 9, rtol=1e-4)

    def test_one_number_an_object_is_refused(self):
        values, videos, held_out = data()
        with pytest.raises(ValueError, match="NearestDistance: 'prediction_error': expected sev"):
            NearestDistance('prediction_error').fit(values['prediction_error'], videos, held_out)


class TestPredictionError:
    def test_it_is_the_error_and_its_scale_that_of_held_out_objects(self):
        values, videos, held_out = data()
        term = PredictionError()
        assert term.of == 'prediction_error'
        found, unseen = term.fit(values['prediction_error'].half(), videos, held_out)
        assert found.dtype == torch.float32 and torch.equal(unseen, held_out)
        assert torch.equal(term(values['prediction_error']), values['prediction_error'])

    def test_more_than_a_number_an_object_is_refused(self):
        with pytest.raises(ValueError, match=r"'action': expected one number.*\(300, 12\)"):
            PredictionError('action')(data()[0]['action'])


class TestTailProbability:
    @pytest.mark.parametrize(
        'law', [stats.expon(), stats.pareto(3), stats.halfnorm(), stats.t(4)], ids='epht'
    )
    def test_it_is_that_of_the_law_the_values_are_from(self, law):
        values = law.rvs(20000, random_state=0)
        tail = TailProbability()
        assert not tail.fitted and not tail.fit(torch.from_numpy(values)) and tail.fitted
        for share, tolerance in ((0.5, 0.05), (0.05, 0.1), (0.01, 0.15), (1e-4, 0.8)):
            point = torch.tensor([law.isf(share)])
            assert float(tail(point)) == pytest.approx(-np.log(share), abs=tolerance)

    def test_training_values_have_a_mean_of_one(self):
        values = torch.rand(5000, generator=torch.Generator().manual_seed(0)) ** 5 - 3
        tail = TailProbability()
        tail.fit(values)
        assert tail(values).mean() == pytest.approx(1, abs=0.02)

    def test_higher_is_rarer_even_beyond_training(self):
        values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        tail = TailProbability()
        tail.fit(values)
        scores = tail(torch.linspace(-5, 50, 500))
        assert scores[0] == 0 and (scores.diff() >= 0).all() and scores[-1] > scores[250]

    def test_equal_values_are_as_rare_as_all_of_them(self):
        tail = TailProbability()
        tail.fit(torch.tensor([0.0] * 600 + list(range(1, 401))))
        zero, one = tail(torch.tensor([0.0, 1.0])).tolist()
        assert zero == 0 and one == pytest.approx(-np.log(0.4), abs=0.01)

    def test_what_is_beyond_ties_is_as_rare_as_it_is(self):
        tail = TailProbability()
        tail.fit(torch.tensor([0.0] * 970 + list(range(1, 31))))
        assert float(tail(torch.tensor([1e-6]))) == pytest.approx(-np.log(0.03), abs=0.01)

    @pytest.mark.parametrize('others', [0, 30])
    def test_values_that_are_nearly_all_the_same_are_told(self, others):
        tail = TailProbability()
        values = torch.tensor([2.0] * 1000 + [1.0] * others)
        assert tail.fit(values) == 'the same of nearly all training objects'
        assert tail(values).isfinite().all() and tail(torch.tensor([2.0])) < 0.1

    def test_too_few_values(self):
        tail = TailProbability()
        with pytest.raises(ValueError, match='1 objects not seen .* expected at least 2'):
            tail.fit(torch.arange(1.0))
        assert tail.fit(torch.arange(99.0)) == (
            'only 10 of 99 objects in the tail, taken as exponential'
        )
        assert float(tail(torch.tensor([1000.0]))) > float(tail(torch.tensor([98.0]))) > 2


class TestScorer:
    def fitted(self, terms=TERMS, channels=CHANNELS):
        values, *where = data()
        scorer = ObjectScorer(terms, channels)
        scorer.fit(values, *where)
        return scorer, values

    def test_each_term_is_the_surprisal_of_what_it_says(self):
        values, videos, held_out = data()
        scorer = ObjectScorer(some('smm', 'action'))
        scorer.fit(values, videos, held_out)
        term = NearestDistance('action', dims=8, neighbours=3)
        nearest, _ = term.fit(values['action'], videos, held_out)
        scores = scorer(values)
        error = values['prediction_error']
        for name, unseen, found in (
            # A predictor errs less on what it was trained on: the share is that of the others.
            ('smm', error[held_out], error),
            ('action', nearest, term(values['action'])),
        ):
            share = (unseen[None] >= found[:, None]).float().mean(dim=1)
            body = share > 0.15
            assert body.sum() > 50
            torch.testing.assert_close(scores[name][body], -share[body].log(), rtol=0.03, atol=0.06)

    def test_channels_are_surprisals_of_weighted_sums(self):
        scorer, values = self.fitted()
        held_out = data()[2]
        scores = scorer(values)
        names = ['smm', 'action', 'appearance', 'attributes', 'spatial', 'both', 'all']
        assert list(scores) == list(scorer.channels) == names
        assert set(scorer.floors) == set(names)
        # What is rarer than one in e^4 counts by its logarithm.
        smm, action, appearance, attributes = (
            np.where(found < 4, found, 4 + np.log(np.maximum(found - 3, 1)))
            for found in (scores[name].numpy() for name in names[:4])
        )
        sums = dict(
            spatial=0.5 * action + 2 * appearance,
            both=smm + 0.5 * action + 2 * appearance,
            all=smm + 0.5 * action + 2 * appearance + 4 * attributes,
        )
        for name, expected in sums.items():
            order = expected.argsort()
            assert (np.diff(scores[name].numpy()[order]) >= -1e-5).all()
        # The error knows no videos, so its training scores are these: of mean 1.
        assert scores['smm'][held_out].mean() == pytest.approx(1, abs=0.1)
        assert scorer.floors['smm'] == pytest.approx(float(scores['smm'][held_out].min()), abs=1e-5)

    def test_a_channel_of_one_term_is_the_term(self):
        scorer, values = self.fitted(some('smm', 'action'), dict(learned=['smm']))
        assert torch.equal(scorer(values)['learned'], scorer(values)['smm'])

    def test_with_a_context_terms_are_compared_with_those_of_the_same_place(self):
        """Behind everything is rough; one scale for the view gives all its alarms to that place."""
        generator = torch.Generator().manual_seed(1)
        place = torch.rand(8000, 1, generator=generator)
        rough = torch.where(place[:, 0] > 0.8, 5.0, 1.0)
        values = dict(place=place, error=torch.randn(8000, generator=generator).exp() * rough)
        videos = torch.arange(8000) % 8
        terms = dict(error=dict(type='PredictionError', of='error'))
        shares = {}
        for context in (None, 'place'):
            scorer = ObjectScorer(terms, context=context)
            assert scorer.quantities == {'error'} | ({context} - {None})
            scorer.fit({k: v[:4000] for k, v in values.items()}, videos[:4000], videos[:4000] < 4)
            high = scorer({k: v[4000:] for k, v in values.items()})['error'] > 3
            shares[context] = [
                float(high[where].float().mean())
                for where in (place[4000:, 0] > 0.85, place[4000:, 0] < 0.75)
            ]
        assert shares[None][0] > 0.15 and shares[None][1] < 0.03
        # Half of the unevenness stays at most, in logarithms.
        uneven = {context: np.log(right / left) for context, (right, left) in shares.items()}
        assert 0 < uneven['place'] < uneven[None] / 2, shares

    def test_the_context_is_compared_as_scikit_learn_would(self):
        values, videos, held_out = data()
        place = torch.randn(300, 3, generator=torch.Generator().manual_seed(2))
        # Place tells of it, or it would be compared alike everywhere.
        logs = values['action'][:, :2] + 3 * place[:, :2]
        scale = LocalScale(neighbours=20)
        fitted = scale.fit(place, logs, videos, torch.arange(300))
        standard = StandardScaler().fit_transform(place.numpy())
        for number in (0, 17):
            others = np.flatnonzero(videos.numpy() != int(videos[number]))
            index = NearestNeighbors(n_neighbors=20).fit(standard[others])
            (near,) = index.kneighbors(standard[number : number + 1])[1]
            usual = logs.numpy()[others[near]]
            own = logs[number].numpy()
            there = (own - usual.mean(axis=0)) / (usual.std(axis=0) + 0.1)
            whole = (own - logs.numpy().mean(axis=0)) / (logs.numpy().std(axis=0, ddof=1) + 0.1)
            expected = (there + whole) / 2
            np.testing.assert_allclose(fitted[number], expected, rtol=2e-3)

    def test_a_place_that_tells_nothing_is_not_asked(self):
        """A camera that moves: the same scores as without a context; of a term that place tells of,
        others. A term may also ask for one scale of the whole view."""
        generator = torch.Generator().manual_seed(4)
        place = torch.rand(4000, 2, generator=generator)
        noise = torch.randn(4000, 2, generator=generator)
        values = dict(
            place=place, any=noise[:, 0].exp(), there=(noise[:, 1] + 4 * place[:, 0]).exp()
        )
        videos = torch.arange(4000) % 8

        def fitted(**kwargs) -> ObjectScorer:
            terms = {
                name: dict(type='PredictionError', of=name, **kwargs) for name in ('any', 'there')
            }
            scorer = ObjectScorer(terms, context='place')
            scorer.fit(values, videos, videos < 4)
            return scorer

        scorer, alike = fitted(), fitted(by_place=False)
        explained = scorer.explained_by_place
        # Of 1 + 16 / 12 the second.
        assert explained['there'] == pytest.approx(16 / 28, abs=0.05)
        assert explained['any'] < 0.02 and alike.explained_by_place == {}
        found, same = scorer(values), alike(values)
        torch.testing.assert_close(found['any'], same['any'], rtol=0.02, atol=0.02)
        assert (found['there'] - same['there']).abs().mean() > 0.2
        assert scorer.by_place == dict(any=False, there=True) and alike.by_place == {}
        again = ObjectScorer(
            {name: dict(type='PredictionError', of=name) for name in ('any', 'there')},
            context='place',
        )
        again.load_state_dict(scorer.state_dict())
        assert torch.equal(again(values)['all'], found['all'])

    def strata(self, few=None):
        """Errors of two sorts of objects, the second, a fifth or so many, ten times as rough."""
        generator = torch.Generator().manual_seed(5)
        sort = (torch.rand(24000, generator=generator) < 0.2).float()
        if few is not None:
            sort[torch.arange(24000) >= 24000 - few] = 1
            sort[: 24000 - few] = 0
        error = torch.randn(24000, generator=generator).exp() * (1 + 9 * sort)
        return dict(sort=sort, a=error, b=error.square()), torch.arange(24000) % 8

    def test_shares_are_of_an_objects_own_stratum(self):
        values, videos = self.strata()
        terms = {name: dict(type='PredictionError', of=name) for name in 'ab'}
        shares = {}
        for stratum in (None, 'sort'):
            scorer = ObjectScorer(terms, stratum=stratum)
            assert scorer.quantities == {'a', 'b'} | ({stratum} - {None})
            train = {k: v[:12000] for k, v in values.items()}
            assert not scorer.fit(train, videos[:12000], videos[:12000] < 6)
            scores = scorer({k: v[12000:] for k, v in values.items()})
            for channel in ('a', 'all'):
                high = scores[channel] > -np.log(0.05)
                shares[stratum, channel] = [
                    float(high[values['sort'][12000:] == sort].float().mean()) for sort in (0, 1)
                ]
            loaded = ObjectScorer(terms, stratum=stratum)
            loaded.load_state_dict(scorer.state_dict())
            assert torch.equal(loaded(values)['all'], scorer(values)['all'])
        for channel in ('a', 'all'):
            assert shares[None, channel][1] > 0.15
            assert all(0.03 < share < 0.07 for share in shares['sort', channel]), shares

    def test_a_stratum_of_too_few_has_the_tail_of_all(self):
        values, videos = self.strata(few=90)
        terms = dict(a=dict(type='PredictionError', of='a'))
        scorer, alike = ObjectScorer(terms, stratum='sort'), ObjectScorer(terms)
        for each in (scorer, alike):
            each.fit(values, videos, torch.ones(24000, dtype=torch.bool))
        few = values['sort'] == 1
        assert torch.equal(scorer(values)['a'][few], alike(values)['a'][few])
        assert not torch.equal(scorer(values)['a'][~few], alike(values)['a'][~few])

    @pytest.mark.parametrize('found', [torch.full((24000,), 2.0), torch.zeros(24000, 2)])
    def test_a_stratum_that_is_none_is_named(self, found):
        values, videos = self.strata()
        scorer = ObjectScorer(dict(a=dict(type='PredictionError', of='a')), stratum='sort')
        with pytest.raises(ValueError, match="scorer.stratum: 'sort': expected 0 or 1"):
            scorer.fit(dict(values, sort=found), videos, videos < 4)

    def test_what_a_term_adds_is_what_sums_are_of(self):
        scorer, values = self.fitted()
        scores = scorer(values)
        parts = scorer.parts(scores, 'both')
        assert set(parts) == {'smm', 'action', 'appearance'}
        high = torch.tensor([0.0, 3.5, 4.0, 5.0, 4 + np.e - 1])
        added = scorer.parts(dict.fromkeys(parts, high), 'both')['appearance']
        expected = torch.tensor([0.0, 7.0, 8.0, 2 * (4 + np.log(2)), 10.0])
        torch.testing.assert_close(added, expected.float())

    def test_weights_of_the_sum_of_all_can_be_set(self):
        values, videos, held_out = data()
        terms = some('smm', 'action')
        heavy = {
            name: dict(cfg, weight=3.0 if name == 'action' else 1.0) for name, cfg in terms.items()
        }
        scorer, other = ObjectScorer(terms, dict(both=['smm', 'action'])), ObjectScorer(heavy)
        scorer.weigh(dict(smm=1.0, action=3.0))
        for each in (scorer, other):
            each.fit(values, videos, held_out)
        assert torch.equal(scorer(values)['all'], other(values)['all'])
        # Other sums keep the weights of the config.
        assert not torch.equal(scorer(values)['both'], scorer(values)['all'])
        loaded = ObjectScorer(terms, dict(both=['smm', 'action']))
        loaded.load_state_dict(scorer.state_dict())
        assert torch.equal(loaded(values)['all'], scorer(values)['all'])

    def test_what_is_promised_of_normal_objects_is_found(self):
        """One in a hundred, one in a thousand: within the error of counting."""
        generator = torch.Generator().manual_seed(3)
        found = []
        for seed in range(4):
            drawn = dict(
                a=torch.randn(40000, 2, generator=generator) ** 3,
                b=torch.rand(40000, 1, generator=generator).log() @ torch.ones(1, 2),
            )
            drawn['b'] = drawn['b'] + 0.1 * drawn['a'].abs()
            terms = {
                name: dict(type='NearestDistance', of=name, num_reference=2000, seed=seed)
                for name in drawn
            }
            scorer = ObjectScorer(terms)
            videos = torch.arange(10000) % 10
            scorer.fit({k: v[:10000] for k, v in drawn.items()}, videos, videos == 9)
            found.append(scorer({k: v[10000:] for k, v in drawn.items()})['all'])
        scores = torch.cat(found)
        for share, tolerance in ((0.1, 0.1), (0.01, 0.2), (0.001, 0.5)):
            assert float((scores > -np.log(share)).float().mean()) == pytest.approx(
                share, rel=tolerance
            )

    @pytest.mark.parametrize(
        ('terms', 'channels', 'names'),
        [
            (['smm'], {}, ['smm', 'all']),
            (['attributes'], dict(measured=['attributes']), ['attributes', 'measured', 'all']),
            (
                ['smm', 'action', 'attributes'],
                dict(both=('smm', 'action')),
                ['smm', 'action', 'attributes', 'both', 'all'],
            ),
        ],
    )
    def test_there_are_the_channels_of_terms_those_that_are_named_and_all(
        self, terms, channels, names
    ):
        scorer = ObjectScorer(some(*terms), channels)
        assert list(scorer.channels) == names
        assert scorer.channels['all'] == tuple(terms)
        assert scorer.quantities == {OF[name] for name in terms}

    @pytest.mark.parametrize(
        ('channels', 'words'),
        [
            (dict(smm=('action',)), "'smm' is the name of a term"),
            (dict(all=('action',)), "'all' is the name of a term, or all"),
            (dict(both=('smm', 'gait')), r"scorer.channels.both: .*\['smm', 'action'\].*'gait'"),
            (dict(none=()), r'scorer.channels.none: expected some of the terms.*got \[\]'),
        ],
    )
    def test_channels_that_sum_no_terms_are_refused(self, channels, words):
        with pytest.raises(ValueError, match=words):
            ObjectScorer(some('smm', 'action'), channels)

    @pytest.mark.parametrize('name', list(TERMS))
    def test_what_is_unlike_training_scores_higher_in_its_own_term(self, name):
        scorer, values = self.fitted()
        near = {key: value[:1] for key, value in values.items()}
        far = dict(near, **{OF[name]: near[OF[name]] * 20 + 30})
        before, after = scorer(near), scorer(far)
        for channel, parts in scorer.channels.items():
            if name in parts:
                assert after[channel] > before[channel] + 0.2
            else:
                assert torch.equal(after[channel], before[channel])

    def test_loads_into_a_fresh_one_and_refuses_to_score_unfitted(self):
        scorer, values = self.fitted()
        other = ObjectScorer(TERMS, CHANNELS)
        assert scorer.fitted and not other.fitted
        with pytest.raises(RuntimeError, match='not fitted'):
            other(values)
        other.load_state_dict(scorer.state_dict())
        for channel, scores in scorer(values).items():
            assert torch.equal(other(values)[channel], scores)
        assert other.floors == scorer.floors

    def test_the_order_of_terms_and_channels_does_not_matter(self):
        """A config that is written to a file and read again has its keys in another order."""
        scorer, values = self.fitted()
        other = ObjectScorer(dict(reversed(TERMS.items())), dict(reversed(CHANNELS.items())))
        other.load_state_dict(scorer.state_dict())
        assert other.floors == scorer.floors
        for channel, scores in scorer(values).items():
            torch.testing.assert_close(other(values)[channel], scores)

    def test_what_terms_look_at_must_be_there_and_others_need_not(self):
        scorer, values = self.fitted(some('smm', 'attributes'), {})
        with pytest.raises(ValueError, match="'attributes', which is not measured.*'prediction_er"):
            scorer({name: values[name] for name in ('prediction_error', 'action')})
        scores = scorer({name: values[name] for name in ('prediction_error', 'attributes')})
        assert torch.equal(scores['all'], scorer(values)['all'])

    @pytest.mark.parametrize('bad', [float('nan'), float('inf')])
    @pytest.mark.parametrize('name', OF.values())
    def test_quantities_that_are_not_finite_are_refused(self, name, bad):
        scorer, values = self.fitted()
        broken = dict(values, **{name: values[name].clone()})
        broken[name][7] = bad
        with pytest.raises(ValueError, match=f'{name}: holds values that are not finite'):
            scorer(broken)
        with pytest.raises(ValueError, match=f'{name}: holds values that are not finite'):
            scorer.fit(broken, *data()[1:])

    @pytest.mark.filterwarnings('ignore:std')
    def test_a_fit_needs_held_out_objects(self):
        values, videos, held_out = data()
        with pytest.raises(ValueError, match='no training object is held out; raise held_out'):
            ObjectScorer(TERMS).fit(values, videos, torch.zeros_like(held_out))
        one = torch.arange(300) == 7
        with pytest.raises(ValueError, match='scorer: smm: 1 objects not seen'):
            ObjectScorer(TERMS).fit(values, videos, one)

    def test_there_must_be_terms_with_weights_above_0(self):
        with pytest.raises(ValueError, match='scorer.terms: expected at least one term'):
            ObjectScorer({})
        for weight in (0.0, -1.0, float('nan')):
            with pytest.raises(ValueError, match="weight of 'action': expected above 0"):
                ObjectScorer(dict(action=dict(TERMS['action'], weight=weight)))
