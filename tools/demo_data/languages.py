"""Languages of captions: their weight on the simulated web, and where their pages lie."""

from __future__ import annotations

from dataclasses import dataclass

REGIONS = (
    "north-america", "europe", "south-asia", "east-asia", "latin-america", "africa",
    "middle-east", "southeast-asia",
)  # fmt: skip


@dataclass(frozen=True)
class Language:
    """A CLDR locale, its weight among captions that are not English, and its region."""

    code: str
    region: str
    weight: float


_TABLE = {
    "europe": (
        "de 6 fr 6 ru 6 it 3 nl 3 pl 3 es 3 sv 1.5 da 1 fi 1 no 1 cs 1.5 hu 1 ro 1.2 el 1 uk 1.5 "
        "bg .7 hr .6 sr .6 sk .6 lt .5 lv .4 et .4 sl .4 ca .5 pt-PT .6 is .2 sq .3 mk .3"
    ),
    "latin-america": "es-419 5 pt 5",
    "east-asia": "ja 5 zh 6 ko 3 zh-Hant 1.5 mn .3",
    "south-asia": (
        "hi 5 bn 3 ta 2.5 te 2 mr 2 gu 1.2 kn 1 ml 1.2 pa 1 ur 1.5 or .5 as .4 ne .7 si .6"
    ),
    "southeast-asia": "id 3 vi 2.5 th 2 ms 1 fil 1 km .3 my .4",
    "middle-east": "ar 3 fa 2 tr 3 he 1 az .5 hy .4 ka .4 kk .4 uz .4",
    "africa": "sw 1 am .5 yo .5 ha .5 ig .4 zu .5 so .3 af .5",
}


def _read() -> tuple[Language, ...]:
    out = []
    for region, line in _TABLE.items():
        words = line.split()
        for code, weight in zip(words[::2], words[1::2], strict=True):
            out.append(Language(code, region, float(weight)))
    return tuple(out)


LANGUAGES = _read()
INDIAN = tuple(lang for lang in LANGUAGES if lang.region == "south-asia")
REGION_OF = {lang.code: lang.region for lang in LANGUAGES}
# Pages in English, and pages whose caption is empty, by region.
ENGLISH_REGIONS = {
    "north-america": 0.46, "europe": 0.24, "south-asia": 0.12, "africa": 0.07, "east-asia": 0.04,
    "southeast-asia": 0.04, "latin-america": 0.02, "middle-east": 0.01,
}  # fmt: skip

# CLDR names the health worker only: words for doctor and nurse, woman then man.
MEDICAL: dict[str, tuple[str, str, str, str]] = {
    "de": ("Ärztin", "Arzt", "Krankenschwester", "Krankenpfleger"),
    "fr": ("docteure", "docteur", "infirmière", "infirmier"),
    "es": ("doctora", "doctor", "enfermera", "enfermero"),
    "es-419": ("médica", "médico", "enfermera", "enfermero"),
    "pt": ("médica", "médico", "enfermeira", "enfermeiro"),
    "pt-PT": ("médica", "médico", "enfermeira", "enfermeiro"),
    "it": ("dottoressa", "dottore", "infermiera", "infermiere"),
    "nl": ("vrouwelijke arts", "arts", "verpleegster", "verpleger"),
    "pl": ("lekarka", "lekarz", "pielęgniarka", "pielęgniarz"),
    "ru": ("женщина-врач", "врач", "медсестра", "медбрат"),
    "uk": ("лікарка", "лікар", "медсестра", "медбрат"),
    "cs": ("lékařka", "lékař", "zdravotní sestra", "zdravotní bratr"),
    "sv": ("kvinnlig läkare", "läkare", "sjuksköterska", "sjukskötare"),
    "tr": ("kadın doktor", "erkek doktor", "kadın hemşire", "erkek hemşire"),
    "ar": ("طبيبة", "طبيب", "ممرضة", "ممرض"),
    "fa": ("پزشک زن", "پزشک مرد", "پرستار زن", "پرستار مرد"),
    "hi": ("महिला डॉक्टर", "डॉक्टर", "नर्स", "पुरुष नर्स"),
    "bn": ("মহিলা ডাক্তার", "ডাক্তার", "নার্স", "পুরুষ নার্স"),
    "ta": ("பெண் மருத்துவர்", "மருத்துவர்", "செவிலியர்", "ஆண் செவிலியர்"),
    "ja": ("女性医師", "男性医師", "看護師", "男性看護師"),
    "zh": ("女医生", "男医生", "女护士", "男护士"),
    "zh-Hant": ("女醫生", "男醫生", "女護士", "男護士"),
    "ko": ("여의사", "남자 의사", "간호사", "남자 간호사"),
    "id": ("dokter wanita", "dokter pria", "perawat wanita", "perawat pria"),
    "vi": ("nữ bác sĩ", "nam bác sĩ", "nữ y tá", "nam y tá"),
    "sw": ("daktari mwanamke", "daktari mwanamume", "muuguzi", "muuguzi wa kiume"),
}
