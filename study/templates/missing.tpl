% rebase("layout.tpl")
<h1>{{title}}</h1>
<p class="lead">Nothing is called <code>{{path}}</code>.</p>
<p><a href="/study">Back to all routes and SQL files</a></p>
