// Opens pages in Chromium over the DevTools protocol. Used by pictures.js and page_audit.js. Knows nothing of hubstorm's page.

'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const cdp = require('chrome-remote-interface');

/** Starts Chromium, passes a connected page to `work`, and ends Chromium. Resolves to the result of `work`. */
async function withPage(program, work) {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'hubstorm-chromium-'));
    const chromium = spawn(program, [
        '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise(resolve => chromium.once('close', resolve));
    try {
        const client = await cdp({ port: await devToolsPort(chromium, ended) });
        await client.Page.enable();
        await client.Runtime.enable();
        await client.Log.enable();
        // The page forbids scripts that are not its own.
        await client.Page.setBypassCSP({ enabled: true });
        return await work(new OpenPage(client));
    } finally {
        chromium.kill();
        await ended;
        fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    }
}

/** Reads the port that Chromium prints. */
function devToolsPort(chromium, ended) {
    return new Promise((resolve, reject) => {
        let text = '';
        chromium.once('error', reject);
        ended.then(() => reject(new Error(`Chromium did not start: ${text}`)));
        chromium.stderr.on('data', data => {
            text += data;
            const found = text.match(/DevTools listening on ws:\/\/[^:]+:(\d+)/);
            if (found) resolve(Number(found[1]));
        });
    });
}

class OpenPage {
    constructor(client) {
        this.client = client;
        /** Errors in the console, since the page was opened. */
        this.errors = [];
        client.Runtime.exceptionThrown(({ exceptionDetails }) => this.errors.push(exceptionDetails.text));
        client.Log.entryAdded(({ entry }) => {
            if (entry.level === 'error') this.errors.push(entry.text);
        });
    }

    /** Opens a file. `view` is as for `show`. */
    async open(file, view) {
        const { Page } = this.client;
        await this.show(view);
        this.errors = [];
        const loaded = Page.loadEventFired();
        await Page.navigate({ url: pathToFileURL(path.resolve(file)).href });
        await loaded;
    }

    /** Sets the size of the window and the color scheme: `light` or `dark`. */
    async show({ width, height = 800, scheme = 'light' }) {
        const { Emulation } = this.client;
        await Emulation.setDeviceMetricsOverride({ width, height, deviceScaleFactor: 1, mobile: false });
        await Emulation.setEmulatedMedia({ features: [{ name: 'prefers-color-scheme', value: scheme }] });
    }

    /** Runs a script in the page and resolves to its JSON value. */
    async evaluate(expression) {
        const { Runtime } = this.client;
        const { result, exceptionDetails } =
            await Runtime.evaluate({ expression, returnByValue: true, awaitPromise: true });
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
    }

    /** Resolves to a PNG of the window, or of the whole page up to `heightMax` pixels. */
    async picture(heightMax) {
        const { Page } = this.client;
        const { cssContentSize: { width, height } } = await Page.getLayoutMetrics();
        const clip = { x: 0, y: 0, width, height: Math.min(height, heightMax ?? 0), scale: 1 };
        const whole = heightMax ? { clip, captureBeyondViewport: true } : {};
        return Buffer.from((await Page.captureScreenshot(whole)).data, 'base64');
    }

    /** Resolves to a PNG of the figure that contains the element with this id. */
    async figure(id) {
        const box = await this.evaluate(`(() => {
            const { x, y, width, height } = document.getElementById('${id}').closest('figure').getBoundingClientRect();
            return { x: x + scrollX - 8, y: y + scrollY - 8, width: width + 16, height: height + 16 };
        })()`);
        const picture = { clip: { ...box, scale: 1 }, captureBeyondViewport: true };
        return Buffer.from((await this.client.Page.captureScreenshot(picture)).data, 'base64');
    }

    /** Resolves to a PDF of the page as it is printed on A4. */
    async print() {
        const a4 = { paperWidth: 8.27, paperHeight: 11.69, preferCSSPageSize: true, printBackground: false };
        return Buffer.from((await this.client.Page.printToPDF(a4)).data, 'base64');
    }

    /** Resolves to the width by which the page overflows its window, and the elements that cause it. */
    async overflow() {
        return this.evaluate(`(() => {
            const root = document.scrollingElement, edge = root.clientWidth;
            const wide = [...document.body.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > edge + 0.5);
            const name = one => one.tagName.toLowerCase() + (one.id ? '#' + one.id : '') +
                (one.classList.length ? '.' + [...one.classList].join('.') : '');
            return { pixels: Math.max(0, root.scrollWidth - edge), elements: [...new Set(wide.map(name))].slice(0, 5) };
        })()`);
    }
}

module.exports = { withPage };
