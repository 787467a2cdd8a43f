// The page's rendering of Markdown, formulas and hostile texts.
import assert from "node:assert/strict";
import { openPage, step } from "./browser.mjs";
import { browser, conversation, importChats, page } from "./chat-page.mjs";

step("Markdown becomes the right elements, and hostile text stays text", async () => {
  await openPage(page, browser.server);
  const math = (inner, block) =>
    `<math${block ? ' display="block" class="tml-display"' : ""}>${inner}</math>`;
  const table = [
    [
      "1. a\n\n```\nx\n```\n\n2. b\n\n```\ny\n```\n\n3. c",
      "<ol>\n<li>a</li>\n</ol>\n<pre><code>x\n</code></pre>\n" +
        '<ol start="2">\n<li>b</li>\n</ol>\n<pre><code>y\n</code></pre>\n' +
        '<ol start="3">\n<li>c</li>\n</ol>',
    ],
    [
      "|a|b|\n|:-:|-:|\n|1|2|",
      '<table>\n<thead>\n<tr>\n<th align="center">a</th>\n<th align="right">b</th>\n</tr>\n' +
        '</thead>\n<tbody><tr>\n<td align="center">1</td>\n<td align="right">2</td>\n</tr>\n' +
        "</tbody></table>",
    ],
    [
      "- [x] done\n- [ ] not",
      '<ul>\n<li class="task">☑ done</li>\n<li class="task">☐ not</li>\n</ul>',
    ],
    ["see \\(x\\)", `<p>see ${math("<mi>x</mi>")}</p>`],
    ["so\n\\[\nx\n\\]\nand", `<p>so</p>\n<p>${math("<mi>x</mi>", true)}</p><p>and</p>`],
    ["$$x$$", `<p>${math("<mi>x</mi>", true)}</p>`],
    [
      "two *\\(a*b\\)* three",
      `<p>two <em>${math("<mrow><mi>a</mi><mo>∗</mo><mi>b</mi></mrow>")}</em> three</p>`,
    ],
    // Invalid formulas stay as they are written.
    ["\\(\\bad{x}\\), \\(open", "<p>\\(\\bad{x}\\), \\(open</p>"],
    ["from $$ to $$$, $5 and $6", "<p>from $$ to $$$, $5 and $6</p>"],
    [
      "`\\(x\\)`\n\n```\n$$x$$\n```",
      "<p><code>\\(x\\)</code></p>\n<pre><code>$$x$$\n</code></pre>",
    ],
    ["\\*a\\*", "<p>*a*</p>"],
    [
      "**重要（注）**です。**“引用”**很。**该。**这",
      "<p><strong>重要（注）</strong>です。<strong>“引用”</strong>很。<strong>该。</strong>这</p>",
    ],
    // Hostile texts.
    [
      "<var>\\(x\\)</var><math><mi>x</mi></math>",
      `<p>&lt;var&gt;${math("<mi>x</mi>")}&lt;/var&gt;` +
        "&lt;math&gt;&lt;mi&gt;x&lt;/mi&gt;&lt;/math&gt;</p>",
    ],
    ["\\(\\href{javascript:alert(1)}{x}\\)", "<p>\\(\\href{javascript:alert(1)}{x}\\)</p>"],
    [
      "\\(\\text{<img src=x onerror=alert(1)>}\\)",
      `<p>${math("<mtext>&lt;img src=x onerror=alert(1)&gt;</mtext>")}</p>`,
    ],
    ["\\(\\includegraphics{/stolen}\\)", "<p>\\(\\includegraphics{/stolen}\\)</p>"],
    ["\\(\\def\\a{\\a\\a}\\a\\)", "<p>\\(\\def\\a{\\a\\a}\\a\\)</p>"],
    [
      "![x](/stolen) <b onclick=alert(1)>b</b> [j](javascript:alert(1))",
      "<p>![x](/stolen) &lt;b onclick=alert(1)&gt;b&lt;/b&gt; " +
        '<a target="_blank" rel="noopener noreferrer nofollow">j</a></p>',
    ],
    ["\\(".repeat(20000), `<p>${"\\(".repeat(20000)}</p>`],
  ];
  await importChats(conversation(...table.flatMap(([markdown]) => ["?", markdown])));
  await page
    .locator("#messages .assistant")
    .nth(table.length - 1)
    .waitFor();
  const found = await page
    .locator("#messages .assistant .body")
    .evaluateAll((all) => all.map((one) => one.innerHTML.trim()));
  for (const [i, [markdown, html]] of table.entries()) {
    assert.equal(found[i].replace(/&nbsp;/g, " "), html, markdown.slice(0, 80));
  }
});
