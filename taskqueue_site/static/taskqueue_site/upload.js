// Adds dropping and a progress bar to the upload form, which works without it too.
"use strict";

(() => {
    const form = document.getElementById("upload");
    const drop = document.getElementById("upload-drop");
    const chosen = document.getElementById("upload-chosen");
    const flaws = document.getElementById("upload-flaws");
    const progress = document.getElementById("upload-progress");
    const told = document.getElementById("upload-told");
    const button = form.querySelector("[type=submit]");
    const nothing = chosen.textContent.replace("Choose a file", "Drop a file here, or choose one,");

    function size(bytes) {
        const units = ["bytes", "KB", "MB", "GB"];
        let step = 0;
        while (bytes >= 1024 && step < units.length - 1) {
            bytes /= 1024;
            step += 1;
        }
        return `${step ? bytes.toFixed(1) : bytes} ${units[step]}`;
    }

    function complain(found) {
        flaws.replaceChildren(...found.map(([field, text]) => {
            const line = document.createElement("li");
            if (field) {
                const name = document.createElement("strong");
                name.textContent = field[0].toUpperCase() + field.slice(1);
                line.append(name, " ");
            }
            line.append(text);
            return line;
        }));
        flaws.hidden = found.length === 0;
        if (found.length) {
            flaws.scrollIntoView({ block: "nearest" });
        }
    }

    function rest() {
        progress.hidden = true;
        button.disabled = false;
    }

    function fail(text) {
        rest();
        complain([["", text]]);
    }

    function advance(share, text) {
        progress.querySelector("i").style.width = `${share}%`;
        progress.firstElementChild.setAttribute("aria-valuenow", share);
        told.textContent = text;
    }

    // A tenant's own dialects are offered for that tenant alone.
    function offer() {
        form.querySelectorAll("optgroup[data-tenant]").forEach((group) => {
            const owner = group.dataset.tenant;
            const isOther = owner !== "" && owner !== form.elements.tenant.value.trim();
            group.hidden = group.disabled = isOther;
        });
        if (form.elements.source.selectedOptions[0]?.parentElement.disabled) {
            form.elements.source.value = "";
        }
    }

    function show() {
        const file = form.elements.file.files[0];
        chosen.textContent = file ? `${file.name}, ${size(file.size)}` : nothing;
        drop.classList.toggle("dtq-chosen", Boolean(file));
        const isTooLarge = file && file.size > Number(form.dataset.most);
        if (file) {
            complain(isTooLarge ? [["file", `It is larger than ${form.dataset.mostText}.`]] : []);
        }
        return !isTooLarge;
    }

    function answered(call) {
        let answer = null;
        try {
            answer = JSON.parse(call.responseText);
        } catch {
            // Not an answer of the form: told below.
        }
        if (call.status === 201 && answer) {
            location.assign(answer.url);
        } else if (answer?.flaws) {
            rest();
            complain(answer.flaws);
        } else if (call.responseURL.includes("/login/") || call.status === 403) {
            fail("Not taken: your session is over, or you may not upload. Sign in and send it again.");
        } else {
            fail(`Not taken: the server answered ${call.status}.`);
        }
    }

    function send() {
        const call = new XMLHttpRequest();
        const unsure = "Look among the jobs before you send it again.";
        call.upload.addEventListener("progress", (event) => {
            const share = Math.floor(100 * event.loaded / event.total);
            advance(share, `${share}% of ${size(event.total)}`);
        });
        call.upload.addEventListener("load", () => advance(100, "Sent; the store takes it…"));
        call.addEventListener("load", () => answered(call));
        call.addEventListener("error", () => fail(`The connection broke. ${unsure}`));
        call.addEventListener("abort", () => fail(`The upload was broken off. ${unsure}`));
        call.open("POST", location.href);
        call.setRequestHeader("X-Requested-With", "XMLHttpRequest");
        call.send(new FormData(form));
        button.disabled = true;
        progress.hidden = false;
        advance(0, "0%");
    }

    form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (show()) {
            send();
        }
    });
    form.elements.tenant.addEventListener("input", offer);
    // Before the input has it: the theme looks for a text beside each, and fails here.
    drop.addEventListener("change", (event) => {
        event.stopPropagation();
        show();
    }, true);
    for (const name of ["dragenter", "dragover"]) {
        drop.addEventListener(name, (event) => {
            event.preventDefault();
            drop.classList.add("dtq-over");
        });
    }
    for (const name of ["dragleave", "drop"]) {
        drop.addEventListener(name, () => drop.classList.remove("dtq-over"));
    }
    drop.addEventListener("drop", (event) => {
        event.preventDefault();
        if (event.dataTransfer.files.length > 1) {
            complain([["file", "One at a time: drop a single file."]]);
        } else if (event.dataTransfer.files.length === 1) {
            form.elements.file.files = event.dataTransfer.files;
            show();
        }
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => event.preventDefault());
    offer();
    show();
})();
