% rebase("layout.tpl")
% files, resources = study.database.files, {}
% for route in study.routes:
% resources.setdefault(route[2].__module__.rpartition(".")[2], ([], []))[0].append(route)
% end
% for file in files.values():
% resources.setdefault(file.name.partition("/")[0], ([], []))[1].append(file)
% end
<h1>{{title}}</h1>
<p class="lead">Every route of the API beside the SQL files that answer it. Open a file to read it, run it on the data of this
server, and see why it is fast. <code>docs/sql-tour.md</code> leads through twelve of them, one idea at a time.</p>

<form class="ask" action="/study/journey">
<label for="path">Which SQL answers this <code>GET</code>?</label>
<div class="row">
<input id="path" name="path" value="{{study.example()}}" autocapitalize="off" autocomplete="off" spellcheck="false">
<button>Send it and see</button>
</div>
</form>

% if compared:
<p>What an ORM would send in their place stands on the pages of
% for number, name in enumerate(compared):
{{", " if number else ""}}<a href="/study/sql/{{name}}#orm">{{name}}</a>\\
% end
.</p>
% end

<nav class="chips" aria-label="Resources">
<ul>
% for name in resources:
<li><a href="#{{name}}">{{name}}</a></li>
% end
<li><a href="#tables">tables</a></li>
</ul>
</nav>

<h2>Routes and files, by resource</h2>
% for name, (its_routes, its_files) in resources.items():
<section aria-labelledby="{{name}}">
<h3 id="{{name}}">{{name}}</h3>
% if its_routes:
<ul class="routes">
% for route in its_routes:
% method, address, handler, _ = route
% query = routes.query_of(route)
<li>
<p class="route"><span class="method {{method.lower()}}">{{method}}</span> <code>/api{{address}}\\
% if query:
<span class="query">?{{"&".join(f"{each}=…" for each in query)}}</span>\\
% end
</code>
<span class="note">{{(handler.__doc__ or "").split("\n")[0]}}</span></p>
<ol class="files">
% for each, condition in routes.files_of(route, files).items():
<li><a href="/study/sql/{{each}}">{{each}}</a>
<span class="note">\\
% if condition:
<span class="when">{{condition}}</span> \\
% end
{{files[each].description}}</span></li>
% end
</ol>
</li>
% end
</ul>
% end
% if its_files:
<details{{!"" if its_routes else " open"}}>
<summary>All files of <code>sql/{{name}}/</code> ({{len(its_files)}})</summary>
<ul class="files">
% for file in its_files:
<li><a href="/study/sql/{{file.name}}">{{file.name}}</a>
<span class="note"><span class="badge {{"writes" if file.writes else "reads"}}">{{"writes" if file.writes else "reads"}}</span> {{file.description}}</span></li>
% end
</ul>
</details>
% end
</section>
% end

<section aria-labelledby="tables">
<h3 id="tables">tables</h3>
<ul class="names">
% for name in study.tables:
<li><a href="/study/tables/{{name}}">{{name}}</a></li>
% end
</ul>
<p>The <a href="/study/schema">schema</a> has them in one drawing, and the scripts that made them.</p>
</section>
