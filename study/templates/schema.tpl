% rebase("layout.tpl")
<h1>{{title}}</h1>
<p class="lead">The shape of the data: {{len(study.tables)}} tables, made by {{len(scripts)}} scripts.</p>
% if drawing:
<figure>
<div class="scroll drawing" tabindex="0" role="region" aria-label="The drawing of the schema">
{{!drawing[drawing.index("<svg"):].replace("xlink:", "")}}
</div>
<figcaption>The tables and the foreign keys between them; each table leads to its page.</figcaption>
</figure>
% end
<h2>Tables</h2>
<ul class="names">
% for name in study.tables:
<li><a href="/study/tables/{{name}}">{{name}}</a></li>
% end
</ul>
<h2>Scripts</h2>
<ol class="files">
% for migration in scripts:
<li><a href="/study/schema/{{migration.up.stem}}">{{migration.up.name}}</a> <span class="note">{{migration.up.read_text("utf-8").split("\n\n")[0].replace("\n--", "").lstrip("- ")}}</span></li>
% end
</ol>
