// Examines HTML pages in Chromium: accessibility with axe-core, light and dark, at 1280 and 390 pixels, errors in the console, and
// sideways scrolling at 360 pixels. Started by tests/it/browser.rs. Usage: node page_audit.js CHROMIUM PAGE... Prints one line for each fault.

'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { withPage } = require('./chromium.js');

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Resolves to the faults of a page as lines of text. */
async function faults(page, file) {
    const found = [];
    await page.open(file, { width: 1280 });
    found.push(...page.errors.map(error => `in the console: ${error}`));
    await page.evaluate(`${AXE}; undefined`);
    for (const scheme of ['light', 'dark']) {
        for (const width of [1280, 390]) {
            await page.show({ width, scheme });
            const violations = await page.evaluate('axe.run({ resultTypes: ["violations"] }).then(result => result.violations)');
            for (const { id, help, nodes } of violations) {
                const places = nodes.slice(0, 3).map(node => `${node.target.join(' ')}: ${node.failureSummary.replace(/\s+/g, ' ')}`);
                found.push(`${scheme} at ${width}: ${id}: ${help} (${nodes.length}): ${places.join(' | ')}`);
            }
        }
    }
    await page.show({ width: 360 });
    const { pixels, elements } = await page.overflow();
    if (pixels > 0) found.push(`at 360: ${pixels} pixels too wide: ${elements.join(', ')}`);
    return found.map(fault => `${path.basename(file)}: ${fault}`);
}

async function main([chromium, ...files]) {
    await withPage(chromium, async page => {
        for (const file of files) {
            for (const line of await faults(page, file)) console.log(line);
        }
    });
}

main(process.argv.slice(2)).catch(error => {
    console.error(error);
    process.exitCode = 1;
});
