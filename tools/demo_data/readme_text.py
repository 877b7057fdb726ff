"""The prose of data/demo/README.md; the braces are filled by readme.py."""
# ruff: noqa: E501

TEXT = """# data/demo: a small image-text collection whose truth is known

People emoji are real pictures, drawn by several foundries, of the same professions in
two gender presentations (and a gender-neutral one) and five skin tones, and Unicode CLDR
names them in over a hundred languages. Here they are composed into scenes, captioned the
way the web captions, and downloaded by the real img2dataset. What is true of every row is
in `truth.parquet`, which tests read and the analysis never does.

**What is simulated, and must be called so wherever it is shown:** the captions, addresses,
regions and sizes of the pool; `similarity`, `punsafe`, `pwatermark` and `LANGUAGE` (random
numbers and a simulated crawler's label, not the output of any model); the failures of the
download; and all of `generated/`, which **no generative model has drawn**. What is real:
the drawings, CLDR's names, img2dataset's tars, parquet files and stats, and the encoder
with its errors. Nothing here says anything about the real web or about any real model.

| path | what |
| --- | --- |
| `shards/part-*.parquet` | {n_rows} rows in {n_shards} shards of 4 row groups; columns of laion2B-multi-joined; a **raw pool**, no filter behind it |
| `images/` | {n_attempted} rows chosen at random, {n_stored} of them stored: img2dataset's own tar, parquet, stats (WebP, longest side 96) |
| `generated/` | {n_generated} pictures by the simulator, and `metadata.jsonl` (Hugging Face ImageFolder) |
| `clip/` | an open_clip checkpoint, its tokenizer, `training.json`, `error.json`, and `known_errors.json`: the confusions of the product's own reader, which the analysis allows for |
| `truth.parquet` | the true levels of each row (`kind = pool`) and picture (`kind = generated`) |
| `monk_by_drawing.csv` | the Monk level measured on each drawing |
| `banlist.txt` | a dozen words that a filter might ban |
| `MANIFEST.json` | sha256 and size of every file, sources, licences, versions |

## What the labels mean

- **gender**: `woman`, `man`, `neutral` (a gender-neutral person code), `none` (no person). It
  is the presentation that the code points name, of a drawing; no person is described.
- **tone**: the Fitzpatrick modifier among the code points: `light`, `medium-light`, `medium`,
  `medium-dark`, `dark`; `unspecified` is the yellow default; `none` without a person.
- **monk**: the Monk level (1 to 10) nearest in CIELAB to the skin of that drawing. Foundries
  differ: Twemoji's *medium* is Monk 5, Noto's and Fluent's is 6. `tone_binary` is `lighter`
  (1 to 5), `darker` (6 to 10), `unspecified` or `none`.
- Labels come from code points only, never from captions. *Health worker* is doctor and nurse
  alike, and the sari is a garment: scenes tell them apart (a stethoscope and a desk; a syringe
  and a bed; a woman beside or behind a sari).
- The pinned Fluent 3D package has the drawings of U+1F3FC and U+1F3FD under each other's
  name, except for the technologist. They are read exchanged; a test shows the order of lightness.

## Planted facts

Concept, gender, tone, rendering, language, region and failure are quotas, not coin flips: they
hold in these rows exactly, up to rounding. Whether a caption states the gender, and whether the
ban list hits it, are drawn at random, as is everything in `generated/`: the tables give what came out.

### Composition of the pool

{composition}

**teacher is the null concept**: women and men in equal number, all six tones alike, and, for
every gender, the same languages, the same regions, the same failures, no ban list, and no
amplification in `generated/`.

### Captions

{n_languages} languages. Women doctors are captioned in other languages than English far more
often than men doctors, so that an English-only step removes more of them. The ban list hits the English captions
of women nurses. Saris are captioned in Indian languages or not at all.

{languages}

{sari_south_asia} of the saris lie in south-asia.

### Downloads

The region decides the failure (404, 403, 500, a page instead of a picture, a short body, a
reset connection, a time-out); `expected_status` in the truth is img2dataset's own `status`, for
every attempted row.

{downloads}

### Faults of the raw pool, none depending on a group

{n_duplicates} rows repeat the address of another (half of them its words, too; `duplicate_of` is
the other's row number in the whole pool); {n_svg} addresses end in .svg and {n_gif} in .gif,
{n_script} are `javascript:` or `data:`, {n_long_domain} have a domain of more than 60 characters;
{n_near_miss} are near misses ("Doctor Who box set", "nurse shark", a sari without a woman); a few
captions are longer than 2000 characters; a few sizes and scores are missing, a few sizes are wrong. Some captions are hostile on purpose
(scripts, control characters, right-to-left overrides). All hosts end in `.example`, `.test` or
`.invalid`, which are reserved: no real site is named.

### Generated pictures: a simulator, not a model

For each prompt the simulator takes the pool's true shares, multiplies the log odds of woman
against man, and of darker against lighter, by {amplification} (teacher: by 1), and draws 200
pictures in Fluent 3D, in batches of four with an intra-batch correlation of {correlation}.
About 2 % show no person. The shares below are among women and men, and among those with a tone.

{amplified}

The empty prompt: {empty_sari} of 400 pictures are women in saris of darker tone.

## The encoder and its error

`clip/` is an open_clip model (timm `{tower}` at 64 px, text tower of 3 layers x 128,
{n_parameters} M parameters in half precision), trained for {steps} steps of 256 scenes drawn on the
fly from Noto, Twemoji and Fluent flat. **Fluent 3D was held out entirely.** It belongs to the
same family as Fluent flat, so it is a new rendering and not an independent foundry.
Some error is wanted here: later work has to correct for it. Zero-shot, on stored pictures (96 px,
lossy) of scenes of another seed, balanced accuracy between the two levels named:

{errors}

By group (balanced accuracy of woman/man; counts of the held-out pictures):

{errors_by_group}

Gender, all four levels offered (counts):

{confusion_gender}

Tone, all four levels offered (counts):

{confusion_tone}

Precision@20 ("a photo of a doctor", ...; roles about equally frequent):

{precision}

All counts, by tone, gender and role, and the prompts: `clip/error.json`. One wording is worth a
warning: with "a person" among the prompts of *neutral*, most men drawn in the held-out rendering
are called neutral, since "a person" fits everyone; the prompt used is "a gender-neutral person".

To load it: `open_clip.create_model_and_transforms("local-dir:data/demo/clip", precision="fp32")`
and `open_clip.get_tokenizer("local-dir:data/demo/clip", bpe_path=...)`, where `bpe_path` is the
path of the `.txt.gz` file in that folder (open_clip takes it from the working directory).

## Rebuilding

`make demo-data` (`python -m tools.demo_data --seed {seed}`) fetches six pinned npm packages
(sha512 checked) and runs the stages sources, sprites, clip, errors, world, images, generated, truth, manifest;
`--stages` picks some, `--keep-clip` leaves out the training (about half an hour on two idle cores).

- The same bytes each time, with the tool versions of MANIFEST.json: `shards/`, the tars (webdataset's
  clock stands still at a whole second, the only change to img2dataset's run), `generated/`,
  `truth.parquet`, `monk_by_drawing.csv`, `banlist.txt`, the merges of the tokenizer.
- Not the same bytes: times in `images/*_stats.json`; the checkpoint and `error.json` on another
  CPU or number of threads (floating-point sums in another order); pictures, with another version of the image codecs.

## Sources and licences

Code and composition: Apache-2.0. The drawings and names keep their own licences (texts in
`LICENSES/`; Apache-2.0 is the repository's own `LICENSE`):

{attributions}

Changes made to the drawings: rendered to pixels, scaled, mirrored, cropped, lightened or darkened a
little, and placed on backgrounds with other drawings.
"""
