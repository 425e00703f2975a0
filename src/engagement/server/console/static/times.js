// Tells the server the browser's time zone, so that from the next page on it writes times in it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const known = document.cookie.split("; ").find((pair) => pair.startsWith("engagement_zone="));
if (zone && known !== `engagement_zone=${encodeURIComponent(zone)}`) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `engagement_zone=${encodeURIComponent(zone)}; Path=/console; Max-Age=31536000; SameSite=Strict${secure}`;
}

// A list of errors takes the focus, so that it is read out first.
document.getElementById("errors")?.focus();
