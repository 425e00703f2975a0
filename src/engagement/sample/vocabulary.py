"""The words of the sample: one shop app, its phones, places and people."""

from engagement.sample.dice import Weights

Model = tuple[str, str, str, str, int | None, int, int]
"""Manufacturer, model, system, its version, Android API level, screen width and height."""

MODELS: Weights[Model] = Weights.zipf(
    [
        ("Apple", "iPhone15,4", "iOS", "17.5.1", None, 1179, 2556),
        ("Samsung", "SM-S921B", "Android", "14", 34, 1080, 2340),
        ("Xiaomi", "Redmi Note 12", "Android", "13", 33, 1080, 2400),
        ("Google", "Pixel 8", "Android", "15", 35, 1080, 2400),
        ("Samsung", 'Galaxy Tab S9 11"', "Android", "14", 34, 1600, 2560),
        ("Apple", "iPad13,18", "iPadOS", "17.6", None, 1640, 2360),
        ("HUAWEI", "ELS-NX9", "Android", "10", 29, 1200, 2640),
        ("OPPO", "CPH2451", "Android", "13", 33, 1240, 2772),
        ("motorola", "moto g(60)", "Android", "12", 32, 1080, 2460),
        ("Microsoft", "RM-1116_11258", "Windows Phone", "10.0.15254", None, 1440, 2560),
    ]
)

Home = tuple[str, int, str, str, str, str]
"""Locale, minutes from UTC, country, region, town and mobile carrier."""

HOMES: Weights[Home] = Weights(
    [
        ("fr-FR", 60, "FR", "Île-de-France", "Paris", "Orange F"),
        ("en-US", -480, "US", "California", "San José", "T-Mobile"),
        ("en-US", -300, "US", "New York", "New York", "Verizon"),
        ("de-DE", 60, "DE", "Bayern", "München", "Telekom.de"),
        ("hi-IN", 330, "IN", "महाराष्ट्र", "मुंबई", "Jio 4G"),
        ("ja-JP", 540, "JP", "東京都", "渋谷区", "NTT DOCOMO"),
        ("pt-BR", -180, "BR", "São Paulo", "Campinas", "Vivo"),
        ("ar-EG", 120, "EG", "القاهرة", "مدينة نصر", "Vodafone EG"),
        ("ru-RU", 180, "RU", "Москва", "Москва", "MTS RUS"),
        ("zh-CN", 480, "CN", "广东省", "深圳市", "CMCC"),
        ("ne-NP", 345, "NP", "बागमती", "काठमाडौँ", "Ncell"),
        ("en-AU", 570, "AU", "South Australia", "Adelaide", "Telstra"),
    ],
    [18, 14, 14, 12, 12, 9, 8, 5, 4, 8, 2, 2],
)

NETWORKS = Weights(
    [("WIFI", ""), ("MOBILE", "LTE"), ("MOBILE", "NR"), ("MOBILE", "HSPA+")], [10, 6, 3, 1]
)
APP_VERSIONS = ((41, "3.9.2"), (42, "4.0.0"), (43, "4.0.1"), (45, "4.1.0-β"))
SERVICE_VERSIONS = ("4.2.3", "4.3.0")

HOUR_WEIGHTS = Weights(
    range(24),
    [3, 2, 1, 1, 1, 2, 6, 12, 16, 13, 11, 12, 17, 15, 12, 11, 12, 15, 19, 23, 25, 22, 14, 7],
)
"""When in the local day people take up their phone: breakfast, noon, and most of all evenings."""

FIRST_SCREENS = Weights(["home", "product", "messages"], [80, 15, 5])
NEXT_SCREENS: dict[str, Weights[str]] = {
    "home": Weights(["search", "category", "product", "account", "messages"], [30, 30, 25, 8, 7]),
    "search": Weights(["results", "home"], [85, 15]),
    "results": Weights(["product", "search", "home"], [65, 25, 10]),
    "category": Weights(["product", "category", "home"], [60, 25, 15]),
    "product": Weights(
        ["product", "basket", "results", "photo viewer", "home"], [25, 25, 20, 15, 15]
    ),
    "photo viewer": Weights(["product", "photo viewer"], [80, 20]),
    "basket": Weights(["checkout", "product", "home"], [45, 35, 20]),
    "checkout": Weights(["order/confirmed", "basket", "account"], [65, 25, 10]),
    "order/confirmed": Weights(["home", "account"], [70, 30]),
    "account": Weights(["home", "settings", "messages"], [50, 30, 20]),
    "settings": Weights(["account", "home"], [60, 40]),
    "messages": Weights(["home", "product"], [60, 40]),
}
"""The screens of the app and where people go from each."""

EVENT_NAMES = Weights.zipf(
    [
        "tap", "scroll", "impression", "search", "product_viewed", "filter_changed",
        "added_to_basket", "image_zoomed", "share", "removed_from_basket", "coupon_entered",
        "payment_started", "purchase", "review_read", "favourite", "video_played",
        "push_opened", "login", "logout", "rating", "barcode scanned", "ajouté à la liste",
        "お気に入り", "Ereignis/Größe gewählt", "dark_mode", "refund_requested", "voice_search",
        "🎁 gift wrapped",
    ]
)  # fmt: skip

ERROR_NAMES = Weights.zipf(
    ["network_timeout", "http_500", "image_decode", "payment_declined", "json_parse", "no_space"]
)
JOB_NAMES = Weights.zipf(["catalogue_sync", "image_upload", "checkout", "download_offline_map"])

TEXTS = (
    "running shoes",
    'screen 27" 4K',
    'men\'s "slim fit" jeans',
    "café ☕️ & crêpes",
    "two\nlines\tand a tab",
    "C:\\Users\\me\\list.txt",
    "кроссовки",
    "夏のワンピース 👗",
    "घी 1 लीटर",
    "حذاء رياضي",
    "👩‍👩‍👧‍👦 family pack",
    "<b>50% off</b> & more; a,b,c",
    "=1+1",
    "  spaces  around  ",
    "",
    "naïve coöperation — “quoted”",
    "한글 키보드",
    "zero\u200bwidth\u2028separator",
)
"""What people type and products are called: quotes, line ends, emoji and many scripts."""

_NULL_POINTER = (
    "java.lang.NullPointerException: Attempt to invoke virtual method "
    "'java.lang.String com.example.shop.Product.getTitle()' on a null object reference\n"
    "\tat com.example.shop.ProductActivity$1.onClick(ProductActivity.kt:{line})\n"
    "\tat android.view.View.performClick(View.java:7448)\n"
    "\tat android.os.Handler.handleCallback(Handler.java:938)\n"
    "\tat android.os.Looper.loop(Looper.java:223)\n"
    "\tat android.app.ActivityThread.main(ActivityThread.java:7656)\n"
)
_UNRECOGNIZED_SELECTOR = (
    "*** Terminating app due to uncaught exception 'NSInvalidArgumentException', reason: "
    "'-[__NSCFString count]: unrecognized selector sent to instance \"0x2808{line}\"'\n"
    "0   CoreFoundation    0x00000001a1b2c3d4 __exceptionPreprocess + 220\n"
    "1   libobjc.A.dylib   0x00000001b5e6f708 objc_exception_throw + 60\n"
    "2   Shop              0x0000000100a4{line} -[BasketController reload] + {line}\n"
)
_OUT_OF_MEMORY = (
    "java.lang.OutOfMemoryError: Failed to allocate a {line}16 byte allocation\n"
    "\tat com.example.shop.images.Décodeur.lire(Décodeur.kt:{line})\n"
    "Caused by: java.io.IOException: «écriture refusée» 💥\n"
    "\t... 12 more\n"
)
_SEGMENTATION_FAULT = (
    "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x{line}\r\n"
    "#00 pc 0000000000{line} /system/lib64/libskia.so\r\n"
)

CRASHES: Weights[tuple[str, str]] = Weights.zipf(
    [
        ("java.lang.NullPointerException", _NULL_POINTER),
        ("NSInvalidArgumentException", _UNRECOGNIZED_SELECTOR),
        ("java.lang.OutOfMemoryError", _OUT_OF_MEMORY),
        ("SIGSEGV", _SEGMENTATION_FAULT),
    ]
)
"""Names of crashes and their stacks; `{line}` stands for a number."""

PLANS = ("free", "plus", "pro", "Entreprise Ã©")
TOPICS = Weights.zipf(["shoes", "books", "garden", "electronics", "玩具"])

CAMPAIGN_TYPES = (
    "Announcement", "Poll", "NativePush", "DataPush", "Announcement", "Announcement",
    "NativePush", "Poll", "DataPush", "Announcement", "Announcement", "NativePush",
)  # fmt: skip
"""The campaigns' types, by id from 1."""

FEEDBACKS: Weights[tuple[str, ...]] = Weights(
    [
        ("Queued", "SystemNotificationDisplayed", "SystemNotificationActioned",
         "ContentDisplayed", "ContentActioned"),
        ("Queued", "SystemNotificationDisplayed", "SystemNotificationActioned",
         "ContentDisplayed", "ContentExited"),
        ("Queued", "SystemNotificationDisplayed", "SystemNotificationExited"),
        ("Queued", "SystemNotificationDisplayed"),
        ("Queued", "InAppNotificationDisplayed", "InAppNotificationActioned",
         "ContentDisplayed", "ContentActioned"),
        ("Queued", "InAppNotificationDisplayed", "InAppNotificationExited"),
        ("Queued", "Dropped"),
        ("Queued",),
    ],
    [12, 9, 20, 25, 8, 8, 6, 12],
)  # fmt: skip
"""How people answer a campaign, step by step."""
