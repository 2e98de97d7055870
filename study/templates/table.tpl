% rebase("layout.tpl")
% said, its = sources.comments(table.sql), shape["tables"][table.name]
% indexes = {name: index for name, index in shape["indexes"].items() if index["table"] == table.name}
% triggers = [thing for thing in study.things.values() if thing.kind == "trigger" and thing.table == table.name]
% def made(name):
% for number, migration in enumerate(sources.history().get(name, [])):
{{", then " if number else ""}}<a href="/study/schema/{{migration.up.stem}}">{{migration.up.name}}</a>\\
% end
% end
<nav class="crumbs" aria-label="Where this is"><ol><li><a href="/study/schema">Schema</a></li><li>tables</li></ol></nav>
<h1>{{table.name}}</h1>
<p class="lead">{{running.count(study.database, table.name)}}. Made by
% made(table.name)
.</p>

<h2>Columns</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Columns">
<table>
<caption>The columns of {{table.name}}</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">NULL?</th><th scope="col">Default</th><th scope="col">What it is</th></tr></thead>
<tbody>
% for column in its["columns"]:
<tr><th scope="row"><code>{{column["name"]}}</code></th><td><code>{{column["type"] or "any"}}</code></td>
<td>{{"no" if column["required"] else "may be"}}</td><td><code>{{column["default"] or ""}}</code></td>
<td>{{said.get(column["name"], "")}}
% if column["pk"]:
<span class="badge reads">primary key</span>
% end
% if running.is_hidden(table.name, column["name"]):
<span class="badge secret">unreadable here</span>
% end
</td></tr>
% end
</tbody>
</table>
</div>

<h2>Constraints</h2>
% owned = [(index["origin"], index["columns"]) for index in indexes.values() if index["origin"] != "c"]
% words = {"pk": "PRIMARY KEY", "u": "UNIQUE"}
% constraints = [(f"{words[kind]} ({', '.join(over)})", ", ".join(f"{table.name}.{each}" for each in over)) for kind, over in owned]
% constraints += [(f"{name}: {check}", name) for name, check in sources.checks(table.sql)]
% if constraints:
<div class="scroll" tabindex="0" role="region" aria-label="Constraints">
<table>
<caption>What SQLite refuses, and what a client hears of it</caption>
<thead><tr><th scope="col">Constraint</th><th scope="col">Error</th></tr></thead>
<tbody>
% for text, key in constraints:
% error = errors.get(key)
<tr><th scope="row"><code>{{text}}</code></th>
% if error:
% status, field, message = error
<td><strong>{{status}}</strong> {{field}}: {{message}}</td>
% else:
<td class="note">500: a mistake of ours, which no request should reach</td>
% end
</tr>
% end
</tbody>
</table>
</div>
<p class="note">The errors stand in <a href="/study/source/plugins/errors.py">plugins/errors.py</a>.</p>
% end
% if its["parents"]:
<h3>Foreign keys</h3>
<ul>
% for parent in its["parents"]:
<li><code>{{parent["column"]}}</code> is the <code>{{parent["to"]}}</code> of a row of <a href="/study/tables/{{parent["table"]}}">{{parent["table"]}}</a>; when that goes: {{parent["then"]}}</li>
% end
</ul>
% end

<h2>Indexes</h2>
% if not indexes:
<p>None but the table itself, which stands in the order of its key.</p>
% end
% for name, index in indexes.items():
<section class="card" aria-labelledby="{{name}}">
<h3 id="{{name}}">{{name if index["origin"] == "c" else f"{table.name} ({', '.join(index['columns'])})"}}</h3>
<p>{{"Unique, on" if index["unique"] else "On"}} <code>{{", ".join(index["columns"])}}</code>.
% if index["origin"] == "c":
Made by
% made(name)
.
% else:
SQLite's own (<code>{{name}}</code>), for the {{"PRIMARY KEY" if index["origin"] == "pk" else "UNIQUE"}} of the table. Made by
% made(table.name)
.
% end
% scripts = sources.history().get(name)
% why = scripts and sources.comments(scripts[0].up.read_text(encoding="utf-8")).get(name)
% if why:
<span class="note">“{{why}}”</span>
% end
</p>
% if name in users:
<p>Used by
% for number, each in enumerate(users[name]):
{{", " if number else ""}}<a href="/study/sql/{{each}}">{{each}}</a>\\
% end
.</p>
% else:
<p class="note">In no plan of the files on this database: it serves a foreign key, a trigger, or the constraint alone.</p>
% end
</section>
% end

% if triggers:
<h2>Triggers</h2>
% for trigger in triggers:
<section aria-labelledby="{{trigger.name}}">
<h3 id="{{trigger.name}}">{{trigger.name}}</h3>
<p>Made by
% made(trigger.name)
.</p>
<pre class="code" tabindex="0" role="region" aria-label="{{trigger.name}}"><code>{{!code(trigger.sql, "sql")}}</code></pre>
</section>
% end
% end

<h2>Files that read or write it</h2>
<ul class="names">
% for each in users.get(table.name, []):
<li><a href="/study/sql/{{each}}">{{each}}</a></li>
% end
</ul>

<h2>As SQL</h2>
<pre class="code" tabindex="0" role="region" aria-label="The definition of {{table.name}}"><code>{{!code(table.sql, "sql")}}</code></pre>
