// Keeps the tables of the fair share page fresh, and says when they are not.
"use strict";

(() => {
    const live = document.getElementById("fair-share");
    const status = document.getElementById("fair-share-status");
    const everyMs = Number(live.dataset.every) * 1000;
    const patienceMs = 20000;
    let freshAt = Date.now();
    let problem = "";

    function tell() {
        const seconds = Math.round((Date.now() - freshAt) / 1000);
        const isStale = problem !== "" || Date.now() - freshAt > everyMs + patienceMs;
        const ago = seconds < 2 ? "just now" : `${seconds} s ago`;
        const text = isStale
            ? `Not refreshed: ${problem || "no answer"}. What is shown is from ${ago}.`
            : `Updated ${ago}`;
        status.classList.toggle("dtq-bad", isStale);
        live.classList.toggle("dtq-stale", isStale);
        // A screen reader hears of a failure once, not of every second.
        status.setAttribute("aria-live", isStale ? "polite" : "off");
        status.textContent = text;
    }

    function put(html) {
        const focused = live.contains(document.activeElement)
            ? document.activeElement.getAttribute("href") : null;
        const scrolled = [...live.querySelectorAll(".dtq-table-scroll")]
            .map((each) => each.scrollLeft);
        live.innerHTML = html;
        live.querySelectorAll(".dtq-table-scroll").forEach((each, number) => {
            each.scrollLeft = scrolled[number] || 0;
        });
        if (focused !== null) {
            live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
        }
    }

    async function refresh() {
        if (document.visibilityState !== "visible") {
            return;
        }
        try {
            const answer = await fetch(live.dataset.url + location.search, {
                signal: AbortSignal.timeout(patienceMs),
            });
            if (answer.redirected) {
                location.reload(); // the session has ended: the login follows
                return;
            }
            if (!answer.ok) {
                throw new Error(`the server answered ${answer.status}`);
            }
            put(await answer.text());
            freshAt = Date.now();
            problem = "";
        } catch (error) {
            problem = error.message.startsWith("the server")
                ? error.message : "the server does not answer";
        }
        tell();
    }

    async function keepFresh() {
        await refresh();
        setTimeout(keepFresh, everyMs);
    }

    document.addEventListener("visibilitychange", refresh);
    setTimeout(keepFresh, everyMs);
    setInterval(tell, 1000);
    tell();
})();
