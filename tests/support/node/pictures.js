// Takes pictures of HTML pages in Chromium: at 1280 and 390 pixels, light and dark, and printed on A4. Prints the pages that are wider
// than their window. Started by tests/pictures. Usage: node pictures.js CHROMIUM FOLDER NAME[#ID]... (FOLDER/NAME.html, and only
// the figure that contains ID).

'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { withPage } = require('./chromium.js');

/** Chromium draws no picture higher than this. */
const HEIGHT_MAX = 16_000;

async function take(page, folder, wanted) {
    const [name, id] = wanted.split('#');
    const html = path.join(folder, `${name}.html`);
    const save = (suffix, data) => fs.writeFileSync(path.join(folder, `${name}-${suffix}`), data);
    if (id) {
        await page.open(html, { width: 900 });
        return save(`${id}.png`, await page.figure(id));
    }
    for (const width of [1280, 390]) {
        for (const scheme of ['light', 'dark']) {
            await page.open(html, { width, scheme });
            save(`${width}-${scheme}.png`, await page.picture(HEIGHT_MAX));
        }
    }
    await page.open(html, { width: 1280 });
    save('1280-fold.png', await page.picture());
    save('print.pdf', await page.print());
    const print = path.join(folder, `${name}-print`);
    const [, sheets] = /^Pages:\s+(\d+)/m.exec(execFileSync('pdfinfo', [`${print}.pdf`], { encoding: 'utf8' }));
    for (const number of ['1', '2'].slice(0, Number(sheets))) {
        const one = ['-f', number, '-l', number, '-singlefile'];
        execFileSync('pdftoppm', ['-png', '-r', '80', ...one, `${print}.pdf`, `${print}-${number}`]);
    }
    for (const width of [1280, 390, 360]) {
        await page.open(html, { width });
        const { pixels, elements } = await page.overflow();
        if (pixels > 0) console.log(`${name} at ${width}: ${pixels} pixels too wide: ${elements.join(', ')}`);
    }
}

async function main([chromium, folder, ...names]) {
    await withPage(chromium, async page => {
        for (const name of names) await take(page, folder, name);
    });
    console.log(`${names.length} pages in ${folder}`);
}

main(process.argv.slice(2)).catch(error => {
    console.error(error);
    process.exitCode = 1;
});
