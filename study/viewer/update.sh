#!/bin/sh
# Brings a release of Swagger UI into this folder, and notes what it is: study/viewer/update.sh 5.35.0
# Needs npm. Nothing of the package is run; its files are packed with gzip, as they are sent.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
package="swagger-ui-dist@${1:?which version?}"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
cd "$scratch"
tar -xzf "$(npm pack --silent "$package")"
cd package
for file in swagger-ui-bundle.js swagger-ui.css; do
    gzip -9 -n -c "$file" > "$here/$file.gz"
done
cp LICENSE "$here/LICENSE.txt"
cp NOTICE "$here/NOTICE.txt"
cp swagger-ui-bundle.js.LICENSE.txt "$here/"
{
    echo "# $package, Apache-2.0: each file's SHA-256, as it is in the package. Written by update.sh."
    sha256sum swagger-ui-bundle.js swagger-ui.css LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt
} > "$here/swagger-ui.sha256"
