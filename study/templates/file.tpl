% rebase("layout.tpl")
% text = file.path.read_text(encoding="utf-8")
% described = sources.parameters(text)
% def named(index):
% its = shape["indexes"][index]
<a href="/study/tables/{{its["table"]}}#{{index}}">{{index if its["origin"] == "c" else f"{its['table']} ({', '.join(its['columns'])})"}}</a>\\
% end
% def tree(steps):
<ul class="plan">
% for step in steps:
<li><p>{{step.sentence}}
% if step.index:
% named(step.index)
% elif step.table in study.tables:
<a href="/study/tables/{{step.table}}">{{step.table}}</a>
% end
</p>
<code class="step">{{step.text}}</code>
% if step.steps:
% tree(step.steps)
% end
</li>
% end
</ul>
% end
<nav class="crumbs" aria-label="Where this is"><ol><li><a href="/study">Routes and SQL</a></li><li><a href="/study#{{file.name.split("/")[0]}}">{{file.name.split("/")[0]}}</a></li></ol></nav>
<h1>{{file.name}} <span class="badge {{"writes" if file.writes else "reads"}}">{{"writes" if file.writes else "reads"}}</span></h1>
<p class="lead">{{file.description}}</p>

<nav class="chips" aria-label="On this page"><ul>
<li><a href="#sql">The SQL</a></li>
% if not file.writes:
<li><a href="#run">Run it</a></li>
% end
<li><a href="#plan">The plan</a></li>
<li><a href="#touches">Tables</a></li>
<li><a href="#routes">Routes</a></li>
% if file.name in orm["files"]:
<li><a href="#orm">An ORM</a></li>
% end
</ul></nav>

% if described:
<h2 id="parameters">Parameters</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Parameters">
<table>
<caption>What <code>sql/{{file.name}}.sql</code> is told</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">What it is</th></tr></thead>
<tbody>
% for name, meaning in described.items():
<tr><th scope="row"><code>:{{name}}</code></th><td><code>{{file.parameters[name]}}</code></td><td>{{meaning}}</td></tr>
% end
</tbody>
</table>
</div>
% end

<h2 id="sql">The SQL</h2>
<pre class="code numbered" tabindex="0" role="region" aria-label="sql/{{file.name}}.sql"><code>{{!code(text, "sql", "L")}}</code></pre>

% if not file.writes:
<h2 id="run">Run it</h2>
<form class="run" action="/study/sql/{{file.name}}#result">
% for name, kind in file.parameters.items():
% nullable, value = kind.endswith("NULL"), sent.get(name, "") if "~run" in sent else values[name]
<div class="field">
<label for="p-{{name}}"><code>:{{name}}</code> <span class="note">{{kind.split()[0]}}</span></label>
<input id="p-{{name}}" name="{{name}}" value="{{"" if value is None else value}}" autocapitalize="off" autocomplete="off" spellcheck="false"{{!' inputmode="numeric"' if kind.startswith("INTEGER") else ""}}>
% if nullable:
% is_null = not value and (f"{name}~null" in sent or name not in sent) if "~run" in sent else value is None
<label class="null"><input type="checkbox" name="{{name}}~null"{{!" checked" if is_null else ""}}> NULL<span class="unseen"> in place of :{{name}}</span></label>
% end
</div>
% end
<button name="~run" value="1">Run</button>
<p class="note">It runs on the data of this server, for at most {{f"{running.MOST_SECONDS:g}"}} s; {{running.MOST_ROWS}} rows are shown.</p>
</form>
% if problem:
<p class="problem" id="result" role="alert">{{problem}}</p>
% elif result:
<section id="result" aria-labelledby="answered">
<h3 id="answered">It answered in {{f"{result.ms:.2f}"}} ms</h3>
% if result.hidden:
<p class="note">These columns read as NULL here, because they hold secrets or addresses: {{", ".join(result.hidden)}}.</p>
% end
% if not result.rows:
<p>No row.</p>
% else:
<div class="scroll" tabindex="0" role="region" aria-label="The result as a table">
<table>
<caption>{{"The first " if result.more else ""}}{{len(result.rows)}} row{{"" if len(result.rows) == 1 else "s"}}</caption>
<thead><tr>
% for column in result.columns:
<th scope="col">{{column}}</th>
% end
</tr></thead>
<tbody>
% for row in result.rows:
<tr>
% for value in row:
% if value is None:
<td><span class="nothing">NULL</span></td>
% else:
<td>{{str(value)[:300]}}{{"…" if len(str(value)) > 300 else ""}}</td>
% end
% end
</tr>
% end
</tbody>
</table>
</div>
<h4>As JSON</h4>
% shown = result.as_json()
<pre class="code tall" tabindex="0" role="region" aria-label="The result as JSON"><code>{{!code(shown, "json")}}{{"… and more" if len(shown) == running.MOST_CHARACTERS else ""}}</code></pre>
% end
</section>
% end
% end

<h2 id="plan">How SQLite runs it</h2>
<p>The query plan on this database{{"" if len(trees) == 1 else ", of each statement in turn"}}, from the top down; what is indented serves the step above it.\\
% if file.writes:
 Where it looks up what no statement names, it checks a foreign key.\\
% end
</p>
% for steps in trees:
% if steps:
% tree(steps)
% else:
<p>This statement looks nothing up.</p>
% end
% end

<h2 id="touches">What it touches</h2>
% if touched:
<ul>
% for table, done in touched.items():
<li><a href="/study/tables/{{table}}">{{table}}</a>: {{", ".join(done)}}</li>
% end
</ul>
% end
% if indexes:
<p>Indexes:
% for number, index in enumerate(indexes):
{{", " if number else ""}}\\
% named(index)
% end
.</p>
% end
% if not touched:
<p>No table.</p>
% end

<h2 id="routes">Who asks it</h2>
% asking = [(route, routes.files_of(route, study.database.files)) for route in study.routes]
% asking = [(route, behind) for route, behind in asking if file.name in behind]
% for route, behind in asking:
<section class="request">
<h3><span class="method {{route[0].lower()}}">{{route[0]}}</span> <code>/api{{route[1]}}</code></h3>
<p>{{(route[2].__doc__ or "").split("\n")[0]}} It runs
% for number, (each, when) in enumerate(behind.items()):
{{", " if number else ""}}<a href="/study/sql/{{each}}">{{each}}</a>\\
% if when:
 <span class="when">{{when}}</span>\\
% end
% end
.</p>
% sending = routes.request_of(route, values) | {"host": host}
<details>
<summary>The same request with curl and JavaScript</summary>
<pre class="code" tabindex="0" role="region" aria-label="{{route[0]}} {{route[1]}} with curl"><code>{{!code(render("curl", **sending), "shell")}}</code></pre>
<pre class="code" tabindex="0" role="region" aria-label="{{route[0]}} {{route[1]}} with JavaScript"><code>{{!code(render("fetch", **sending), "javascript")}}</code></pre>
</details>
</section>
% end
% if not asking:
<p>No route: the code around them, or the command line.</p>
% end
% lines = [(each, n, line) for each, path in sources.readable().items() for n, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
% mentions = [(each, n) for each, n, line in lines if f'"{file.name}"' in line]
% if mentions:
<h3>In the code</h3>
<ul class="names">
% for each, line in mentions:
<li><a href="/study/source/{{each}}#L-{{line}}">{{each}}:{{line}}</a></li>
% end
</ul>
% end

% if file.name in orm["files"]:
% panel = orm["files"][file.name]
<h2 id="orm">What an ORM would do</h2>
<p>{{panel["question"]}}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Compared">
<table>
<caption>{{orm["measured"]}}</caption>
<thead><tr><th scope="col">Way</th><th scope="col">Statements</th><th scope="col">Milliseconds</th></tr></thead>
<tbody>
<tr><th scope="row">These files: {{", ".join(panel["ours"]["files"])}}</th><td>{{panel["ours"]["statements"]}}</td><td>{{panel["ours"]["ms"]}}</td></tr>
<tr><th scope="row">SQLAlchemy</th><td>{{len(panel["statements"])}}</td><td>{{panel["ms"]}}</td></tr>
</tbody>
</table>
</div>
<h3>In Python</h3>
<pre class="code" tabindex="0" role="region" aria-label="SQLAlchemy"><code>{{!code(panel["python"], "python")}}</code></pre>
<h3>What it sends to SQLite</h3>
<ol class="statements">
% for number, statement in enumerate(panel["statements"], 1):
<li><pre class="code" tabindex="0" role="region" aria-label="Statement {{number}} of SQLAlchemy's"><code>{{!code(statement["sql"], "sql")}}</code></pre><p class="note">{{statement["ms"]}} ms</p></li>
% end
</ol>
<p class="note">Measured with <code>{{orm["command"]}}</code>. What these take together is SQLite's part; the rest of its time is SQLAlchemy's, which
makes the statements, turns rows into objects and those into JSON.</p>
% end
