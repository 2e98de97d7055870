% rebase("layout.tpl")
<nav class="crumbs" aria-label="Where this is"><ol><li><a href="/study/schema">Schema</a></li><li>scripts</li></ol></nav>
<h1>{{title}}</h1>
% if made:
<p class="lead">Made or changed
% for number, thing in enumerate(made):
{{", " if number else ""}}\\
% if thing.kind == "view":
{{thing.name}}\\
% else:
<a href="/study/tables/{{thing.table}}{{"" if thing.kind == "table" else "#" + thing.name}}">{{thing.name}}</a>\\
% end
% end
.</p>
% end
% for heading, file, lines in ("Up", script.up, "L"), ("Down", script.down, "D"):
<h2>{{heading}}</h2>
<pre class="code numbered" tabindex="0" role="region" aria-label="{{file.name}}"><code>{{!code(file.read_text(encoding="utf-8"), "sql", lines)}}</code></pre>
% end
