% from shlex import quote
curl\\
% if method != "GET":
 -X {{!method}}\\
% end
 {{!quote(host + address)}}\\
% if auth == "required":
 \
  -H "Authorization: Token $TOKEN"\\
% end
% if body:
 \
  -H 'Content-Type: application/json' \
  -d {{!quote(body)}}\\
% end

