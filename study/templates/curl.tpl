curl\\
% if method != "GET":
 -X {{!method}}\\
% end
 '{{!host}}{{!address}}'\\
% if auth == "required":
 -H "Authorization: Token $TOKEN"\\
% end
% if body:
 \
    -H 'Content-Type: application/json' \
    -d '{{!body}}'\\
% end

