"""CLIP's weights in the forms people have them, and what is kept of its sentences."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import CONFIG, MODEL, clip_sample, save_tiny_clip

from mmvad.captions import CLIPCaptioner
from mmvad.captions.torchscript import torchscript_weights

open_clip = pytest.importorskip('open_clip')
QUICK = f'{MODEL}-quickgelu'


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def clip_file(tmp_path_factory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp('clip'))


def quick_model(clip_file: Path, precision: str = 'fp32') -> torch.nn.Module:
    return open_clip.create_model(QUICK, pretrained=str(clip_file), precision=precision).eval()


@pytest.fixture(scope='module')
def archive(clip_file, tmp_path_factory) -> Path:
    """As OpenAI publishes CLIP: half precision, traced, with its sizes among the buffers."""
    model = quick_model(clip_file)
    for name, value in dict(input_resolution=32, context_length=24, vocab_size=49408).items():
        # On the module that is traced, `context_length` is a number.
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    open_clip.model.convert_weights_to_fp16(model)
    path = tmp_path_factory.mktemp('openai') / 'ViT.pt'
    model.visual.float()  # a CPU traces no half-precision convolution
    traced = torch.jit.trace_module(
        model, dict(encode_image=torch.ones(1, 3, 32, 32)), check_trace=False
    )
    traced.visual.half()
    traced.save(path)
    return path


def directly(clip_file: Path, precision: str = 'fp32') -> list[dict[str, str]]:
    """Captions by the model's own file of weights."""
    captioner = CLIPCaptioner(QUICK, str(clip_file), device='cpu', precision=precision)
    return captioner.caption(clip_sample())


class TestOpenAI:
    def test_the_weights_are_those_of_the_archive(self, archive):
        # What loads it runs it: only a test does.
        whole = torch.jit.load(archive, map_location='cpu').state_dict()
        read = torchscript_weights(archive)
        assert whole.keys() <= read.keys() and 'vocab_size' in whole
        for name, value in whole.items():
            assert read[name].dtype == value.dtype and torch.equal(read[name], value)

    def test_captions_by_the_archive_and_by_its_state_dict(self, archive, clip_file, tmp_path):
        state = torch.jit.load(archive, map_location='cpu').state_dict()
        torch.save(state, tmp_path / 'state.pt')
        # In half precision, as the archive is.
        half = {k: v for k, v in state.items() if k in quick_model(clip_file).state_dict()}
        torch.save({k: v.float() for k, v in half.items()}, tmp_path / 'half.pt')
        expected = directly(tmp_path / 'half.pt')
        for file in (archive, tmp_path / 'state.pt'):
            captioner = CLIPCaptioner(QUICK, str(file), device='cpu')
            assert captioner.caption(clip_sample()) == expected

    def test_nothing_is_run(self, archive, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.jit, 'load', None)
        CLIPCaptioner(QUICK, str(archive), device='cpu')

    def test_the_other_activation_is_refused(self, archive):
        with pytest.raises(ValueError, match=f"with QuickGELU; expected '{QUICK}', got '{MODEL}'"):
            CLIPCaptioner(MODEL, str(archive), device='cpu')

    def test_a_tag_of_the_other_activation_is_refused(self, clip_file, monkeypatch):
        monkeypatch.setattr(open_clip, 'download_pretrained', lambda cfg: str(clip_file))
        with pytest.raises(ValueError, match="expected 'ViT-B-32-quickgelu', got 'ViT-B-32'"):
            CLIPCaptioner('ViT-B-32', 'openai', device='cpu')

    def test_of_another_size_it_does_not_fit(self, archive):
        with pytest.raises(ValueError, match=r'(?s)ViT.pt.* does not load into ViT-B-16-quickgelu'):
            CLIPCaptioner('ViT-B-16-quickgelu', str(archive), device='cpu')

    def test_code_in_it_is_refused(self, archive, tmp_path):
        mark = tmp_path / 'ran'

        class Payload:
            def __reduce__(self):
                return open, (str(mark), 'w')

        packed = io.BytesIO()
        pickle.Pickler(packed, protocol=2).dump(Payload())
        with zipfile.ZipFile(archive) as before, zipfile.ZipFile(tmp_path / 'e.pt', 'w') as after:
            for item in before.infolist():
                held = before.read(item)
                after.writestr(item, packed.getvalue() if 'data.pkl' in item.filename else held)
        with pytest.raises(ValueError, match=r'e\.pt: no weights can be read .*open'):
            CLIPCaptioner(QUICK, str(tmp_path / 'e.pt'), device='cpu')
        assert not mark.exists()

    def test_a_damaged_one_is_told(self, archive, tmp_path):
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 255
        (tmp_path / 'd.pt').write_bytes(content)
        with pytest.raises(ValueError, match=r'd\.pt: no weights can be read .*CRC'):
            CLIPCaptioner(QUICK, str(tmp_path / 'd.pt'), device='cpu')


class TestOtherForms:
    @pytest.fixture
    def folder(self, clip_file, tmp_path) -> Path:
        """As open_clip writes a model for the hub."""
        folder = tmp_path / 'model'
        folder.mkdir()
        whole = dict(model_cfg=CONFIG | dict(quick_gelu=True), preprocess_cfg={})
        (folder / 'open_clip_config.json').write_text(json.dumps(whole))
        shutil.copy(clip_file, folder / 'open_clip_pytorch_model.bin')
        return folder

    def test_a_folder(self, folder, clip_file):
        captioner = CLIPCaptioner(f'local-dir:{folder}', device='cpu')
        assert captioner.caption(clip_sample()) == directly(clip_file)
        with pytest.raises(ValueError, match='has weights of its own'):
            CLIPCaptioner(f'local-dir:{folder}', str(clip_file), device='cpu')
        (folder / 'open_clip_pytorch_model.bin').unlink()
        with pytest.raises(FileNotFoundError, match='model: holds no weights'):
            CLIPCaptioner(f'local-dir:{folder}', device='cpu')
        with pytest.raises(FileNotFoundError, match='open_clip_config.json: no such file'):
            CLIPCaptioner(f'local-dir:{folder.parent}', device='cpu')

    def test_the_hub(self, folder, clip_file, tmp_path, monkeypatch):
        """By what huggingface_hub keeps on disk, without a network."""
        hub = pytest.importorskip('huggingface_hub')
        kept = tmp_path / 'hub/models--lab--tiny'
        shutil.copytree(folder, kept / 'snapshots/abc')
        (kept / 'refs').mkdir()
        (kept / 'refs/main').write_text('abc')
        monkeypatch.setattr(hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
        monkeypatch.setattr(hub.constants, 'HF_HUB_OFFLINE', True)
        captioner = CLIPCaptioner('hf-hub:lab/tiny', device='cpu')
        assert captioner.caption(clip_sample()) == directly(clip_file)
        with pytest.raises(OSError, match='hf-hub:lab/absent: cannot be downloaded'):
            CLIPCaptioner('hf-hub:lab/absent', device='cpu')
        # A tag that cannot be had does not "not fit".
        with pytest.raises(OSError, match='laion2b_s34b_b79k: cannot be downloaded'):
            CLIPCaptioner('ViT-B-32', 'laion2b_s34b_b79k', device='cpu')

    def test_safetensors(self, clip_file, tmp_path):
        save = pytest.importorskip('safetensors.torch').save_file
        state = torch.load(clip_file, weights_only=True)
        save({k: v.clone().contiguous() for k, v in state.items()}, tmp_path / 'w.safetensors')
        captioner = CLIPCaptioner(QUICK, str(tmp_path / 'w.safetensors'), device='cpu')
        assert captioner.caption(clip_sample()) == directly(clip_file)


class _Payload:
    """Pickles as a call that a safe loader must not make."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


class TestErrors:
    def test_of_weights(self, clip_file, tmp_path):
        for pretrained in ('', 'absent.pt', None):
            with pytest.raises(ValueError, match='pretrained: expected a file of weights'):
                CLIPCaptioner(MODEL, pretrained, device='cpu')
        with pytest.raises(ValueError, match="no 'ViT-X'"):
            CLIPCaptioner('ViT-X', str(clip_file), device='cpu')
        state = torch.load(clip_file, weights_only=True)
        state.pop('text_projection')
        torch.save(state, tmp_path / 'part.pt')
        with pytest.raises(ValueError, match=r'(?s)part\.pt.*text_projection'):
            CLIPCaptioner(MODEL, str(tmp_path / 'part.pt'), device='cpu')
        (tmp_path / 'noise.pt').write_bytes(b'not weights')
        with pytest.raises(ValueError, match=r'noise\.pt'):
            CLIPCaptioner(MODEL, str(tmp_path / 'noise.pt'), device='cpu')

    def test_weights_are_loaded_safely(self, tmp_path, clip_file):
        torch.save({'state_dict': _Payload(tmp_path / 'touched')}, tmp_path / 'evil.pt')
        with pytest.raises(ValueError, match=r'evil\.pt'):
            CLIPCaptioner(MODEL, str(tmp_path / 'evil.pt'), device='cpu')
        assert not (tmp_path / 'touched').exists()

    def test_of_arguments(self, clip_file):
        with pytest.raises(ValueError, match="precision: expected one of .* got 'fp8'"):
            CLIPCaptioner(MODEL, str(clip_file), device='cpu', precision='fp8')
        with pytest.raises(ValueError, match='batch_size: expected a whole number >= 1, got 0'):
            CLIPCaptioner(MODEL, str(clip_file), device='cpu', batch_size=0)


def test_half_precision_says_nearly_the_same(clip_file):
    full = CLIPCaptioner(MODEL, str(clip_file), device='cpu')
    half = CLIPCaptioner(MODEL, str(clip_file), device='cpu', precision='bf16')
    assert half._clip.visual.conv1.weight.dtype == torch.bfloat16
    crops = full.crops(clip_sample())
    cosine = (full.embed_crops(crops) * half.embed_crops(crops)).sum(dim=1)
    assert cosine.min() > 0.99 and not torch.equal(full.embed_crops(crops), half.embed_crops(crops))


def test_crops_of_several_frames_go_together(clip_file, monkeypatch):
    captioner = CLIPCaptioner(MODEL, str(clip_file), device='cpu', batch_size=8)
    samples = [clip_sample(n, seed) for seed, n in enumerate((3, 0, 4, 5, 1, 0))]
    alone = [captioner.caption(sample) for sample in samples]
    sizes = []
    encode = captioner._clip.encode_image
    monkeypatch.setattr(
        captioner._clip, 'encode_image', lambda x: sizes.append(len(x)) or encode(x)
    )
    assert list(captioner.captions(samples)) == alone
    assert [len(found) for found in alone] == [3, 0, 4, 5, 1, 0]
    assert sizes == [8, 4, 1]


class TestSentences:
    """Embedded once, and again where anything differs that they depend on."""

    @pytest.fixture
    def encoded(self, monkeypatch) -> list[int]:
        """How many sentences each pass of the text side saw."""
        seen: list[int] = []
        encode = open_clip.CLIP.encode_text
        monkeypatch.setattr(
            open_clip.CLIP,
            'encode_text',
            lambda self, text, *more, **kw: (
                seen.append(len(text)) or encode(self, text, *more, **kw)
            ),
        )
        return seen

    def test_they_are_kept(self, clip_file, encoded, tmp_path):
        first = CLIPCaptioner(MODEL, str(clip_file), device='cpu')
        groups = [group for kind in first.sentences.values() for group in kind.values()]
        count = len({text for group in groups for text in group})
        assert sum(encoded) == count
        (kept,) = (tmp_path / 'cache/mmvad/sentences').iterdir()
        encoded.clear()
        again = CLIPCaptioner(MODEL, str(clip_file), device='cpu')
        assert not encoded
        assert again.caption(clip_sample()) == first.caption(clip_sample())
        # Weights moved are the same weights; a file of another form, too.
        moved = shutil.copy(clip_file, tmp_path / 'moved.pt')
        CLIPCaptioner(MODEL, str(moved), device='cpu')
        assert not encoded
        assert np.load(kept, allow_pickle=False).shape == (count, 16)

    @pytest.mark.parametrize('what', ['weights', 'model', 'words', 'precision', 'damage'])
    def test_what_differs_is_embedded_anew(self, clip_file, encoded, tmp_path, what):
        CLIPCaptioner(MODEL, str(clip_file), device='cpu')
        encoded.clear()
        args = dict(model=MODEL, pretrained=str(clip_file), device='cpu')
        if what == 'weights':
            state = torch.load(clip_file, weights_only=True)
            state['ln_final.weight'][0] += 1
            torch.save(state, tmp_path / 'other.pt')
            args['pretrained'] = str(tmp_path / 'other.pt')
        elif what == 'model':
            args['model'] = QUICK
        elif what == 'words':
            (tmp_path / 'places.txt').write_text('the sky\n')
            args['vocabulary'] = dict(places=tmp_path / 'places.txt')
        elif what == 'precision':
            args['precision'] = 'bf16'
        else:
            (kept,) = (tmp_path / 'cache/mmvad/sentences').iterdir()
            kept.write_bytes(kept.read_bytes()[:-100])
        CLIPCaptioner(**args)
        assert encoded

    def test_a_folder_that_cannot_be_written_to_costs_time_only(self, clip_file, tmp_path):
        (tmp_path / 'file').touch()
        args = dict(model=MODEL, pretrained=str(clip_file), device='cpu')
        captioner = CLIPCaptioner(**args, cache_dir=tmp_path / 'file/below')
        assert captioner.caption(clip_sample()) == CLIPCaptioner(**args).caption(clip_sample())
