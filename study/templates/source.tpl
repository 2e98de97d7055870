% rebase("layout.tpl")
<nav class="crumbs" aria-label="Where this is"><ol><li><a href="/study/journey">One request</a></li><li>code</li></ol></nav>
<h1>{{title}}</h1>
<pre class="code numbered" tabindex="0" role="region" aria-label="{{title}}"><code>{{!code(text, "python", "L")}}</code></pre>
