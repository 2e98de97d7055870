% rebase("layout.tpl")
% import re
% def where(file, line, name):
<a class="source" href="/study/source/{{file}}#L-{{line}}">{{file}}:{{line}}</a> <code>{{name}}</code>
% end
% def tree(calls):
<ul class="plan">
% before = None
% for call in calls:
% place, before = before, (call.file, call.line)
% is_helper = call.name.rpartition(".")[2].startswith("_") or place == before
% if is_helper and not call.sql and not any(each.sql or each.calls or not each.name.startswith("_") for each in call.calls):
%     continue
% end
<li><p>\\
% if call.sql:
Runs <a href="/study/sql/{{call.sql}}">{{call.sql.partition("?")[0]}}</a>\\
% else:
{{call.said or call.name}}\\
% end
 <span class="took">{{f"{call.ms:.3f}"}} ms</span></p>
<p class="note">\\
% where(call.file, call.line, call.name)
</p>
% if call.calls:
% tree(call.calls)
% end
</li>
% end
</ul>
% end
<h1>{{title}}</h1>
% if taken:
<p class="lead">This request was really sent through the application, just now: from the first function to SQL and back.</p>
% end
<form class="ask" action="/study/journey">
<label for="path">A <code>GET</code> of the API, sent without a token</label>
<div class="row">
<input id="path" name="path" value="{{wanted}}" autocapitalize="off" autocomplete="off" spellcheck="false">
<button>Send it</button>
</div>
</form>
% if not taken:
<p class="problem" role="alert">A path begins with /api, such as /api/tags.</p>
% else:
<h2>What came of it</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Times">
<table>
<caption><code>GET {{wanted}}</code> answered {{taken.status}}, {{len(taken.body)}} bytes</caption>
<thead><tr><th scope="col">What</th><th scope="col">Milliseconds</th></tr></thead>
<tbody>
<tr><th scope="row">The whole application</th><td>{{f"{taken.ms:.3f}"}}</td></tr>
% for name, seconds in taken.ran:
<tr><th scope="row"><a href="/study/sql/{{name}}">{{name}}</a></th><td>{{f"{1000 * seconds:.3f}"}}</td></tr>
% end
<tr><th scope="row">The same once more{{", from memory" if again.remembered else ""}}</th><td>{{f"{again.ms:.3f}"}}</td></tr>
</tbody>
</table>
</div>

<h2>Before the application</h2>
<p>On the real server, which is not part of the trace below:</p>
<ol class="steps">
% steps = [
%     ("The parent listens; the kernel gives the connection to one of the workers.", "serve.py", "bind"),
%     ("The worker's loop takes the connection, among up to a thousand others.", "worker.py", "_Server"),
%     ("It reads until the request is whole, and refuses what another server could read differently.", "framing.py", "Parser"),
%     ("A thread takes the request, and calls the application.", "worker.py", "_Task"),
% ]
% for text, file, name in steps:
<li>{{text}}
% where(file, sources.place(file, name), name)
</li>
% end
</ol>

<h2>Through the application</h2>
<p>Every function of the project that took part, in order, with what it took. It was noted in a request of its own, since
noting makes it slower.</p>
% tree(calls)

<h2>Back to the socket</h2>
<p>The worker's loop sends headers and body in one piece, and keeps the connection for the next request:
% where("worker.py", sources.place("worker.py", "_Channel"), "_Channel")
</p>

<h2>The answer</h2>
<pre class="code" tabindex="0" role="region" aria-label="Headers of the answer"><code>{{taken.status}}
% for name, value in taken.headers:
{{name}}: {{re.sub(r"&?study=\w+", "", value)}}
% end
</code></pre>
<pre class="code tall" tabindex="0" role="region" aria-label="Body of the answer"><code>{{!code(taken.body.decode()[:2000], "json")}}{{"… and more" if len(taken.body) > 2000 else ""}}</code></pre>
% end
