<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{title}} · Rowboat</title>
<link rel="icon" href="/study/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/study/static/study.css">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top">
<a class="brand" href="/study"><img src="/study/static/icon.svg" alt="" width="28" height="28"> Rowboat <span>studied</span></a>
<nav aria-label="Study">
<ul>
% for href, text in ("/study", "Routes and SQL"), ("/study/schema", "Schema"), ("/study/journey", "One request"), ("/docs", "API"):
% current = path == href or (href != "/study" and path.startswith(href + "/"))
<li><a href="{{href}}"{{!' aria-current="page"' if current else ""}}>{{text}}</a></li>
% end
</ul>
</nav>
</header>
<main id="content" tabindex="-1">
{{!base}}
</main>
<footer>
<p>These pages read the database of this server and never write. Secrets and addresses read as NULL.</p>
</footer>
</body>
</html>
