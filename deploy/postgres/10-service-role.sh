#!/bin/sh
# Run by the database's image once, when it makes a new cluster: the login under which the services
# work. It owns nothing and can do no more than the application's role, to which row-level security
# applies; the migrations, run as the owner, grant that role what it may do.
set -eu
: "${NEEDLECAP_SERVICE_PASSWORD:?}"

psql --set ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password NEEDLECAP_SERVICE_PASSWORD
create role needlecap_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
create role needlecap_service login nosuperuser nobypassrls nocreatedb nocreaterole
    password :'password' in role needlecap_app;
SQL
