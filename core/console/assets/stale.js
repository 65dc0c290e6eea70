// Says so while the stream that keeps a page current is broken.
"use strict";
for (const [event, hidden] of [["htmx:sseError", false], ["htmx:sseOpen", true]]) {
  addEventListener(event, () => { document.getElementById("stale").hidden = hidden; });
}
