"""Tenants, sites, users and API keys."""

from storage.accounts import Key, Site, Tenant, User, UserKind
from storage.errors import NotFound
from storage.sql import rows
from storage.sql.database import Connection, Database, Row


class SqlAccounts:
    """See `storage.store.Accounts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put_tenant(self, tenant: Tenant) -> None:
        async def work(c: Connection) -> None:
            await c.run(
                """
                INSERT INTO tenants (id, name, settings, disabled, created_at, updated_at)
                VALUES (:id, :name, :settings, :disabled, :at, :at)
                ON CONFLICT (id) DO UPDATE SET name = :name, settings = :settings,
                    disabled = :disabled, updated_at = :at
                """,
                id=tenant.id,
                name=tenant.name,
                settings=rows.text(tenant.settings),
                disabled=int(tenant.disabled),
                at=await rows.now(c),
            )

        await self._db.write(work)

    async def tenant(self, id: str) -> Tenant | None:
        async def work(c: Connection) -> Tenant | None:
            row = await c.one("SELECT * FROM tenants WHERE id = :id", id=id)
            return None if row is None else _tenant(row)

        return await self._db.read(work)

    async def tenants(self) -> list[Tenant]:
        async def work(c: Connection) -> list[Tenant]:
            return [_tenant(row) for row in await c.all("SELECT * FROM tenants ORDER BY id")]

        return await self._db.read(work)

    async def put_site(self, site: Site) -> None:
        async def work(c: Connection) -> None:
            await c.run(
                """
                INSERT INTO sites (tenant, id, public_key, name, origins, settings, disabled,
                    created_at, updated_at)
                VALUES (:tenant, :id, :public_key, :name, :origins, :settings, :disabled, :at,
                    :at)
                ON CONFLICT (tenant, id) DO UPDATE SET public_key = :public_key, name = :name,
                    origins = :origins, settings = :settings, disabled = :disabled,
                    updated_at = :at
                """,
                tenant=site.tenant,
                id=site.id,
                public_key=site.public_key,
                name=site.name,
                origins=rows.text(site.origins),
                settings=rows.text(site.settings),
                disabled=int(site.disabled),
                at=await rows.now(c),
            )

        await self._db.write(work)

    async def site_by_key(self, public_key: str) -> Site | None:
        async def work(c: Connection) -> Site | None:
            row = await c.one("SELECT * FROM sites WHERE public_key = :key", key=public_key)
            return None if row is None else _site(row)

        return await self._db.read(work)

    async def sites(self, tenant: str) -> list[Site]:
        async def work(c: Connection) -> list[Site]:
            found = await c.all(
                "SELECT * FROM sites WHERE tenant = :tenant ORDER BY id", tenant=tenant
            )
            return [_site(row) for row in found]

        return await self._db.read(work)

    async def origins(self) -> frozenset[str]:
        async def work(c: Connection) -> frozenset[str]:
            found = await c.all(
                """
                SELECT sites.origins FROM sites JOIN tenants ON tenants.id = sites.tenant
                WHERE sites.disabled = 0 AND tenants.disabled = 0
                """
            )
            return frozenset(origin for row in found for origin in rows.names(row["origins"]))

        return await self._db.read(work)

    async def put_user(self, user: User) -> User:
        async def work(c: Connection) -> User:
            row = await c.one(
                """
                INSERT INTO users (tenant, id, kind, roles, tier, name, email, locale,
                    password_hash, token_budget, disabled, sessions_from, created_at, updated_at)
                VALUES (:tenant, :id, :kind, :roles, :tier, :name, :email, :locale,
                    :password_hash, :token_budget, :disabled, :sessions_from, :at, :at)
                ON CONFLICT (tenant, id) DO UPDATE SET kind = :kind, roles = :roles,
                    tier = :tier, name = COALESCE(:name, users.name),
                    email = COALESCE(:email, users.email),
                    locale = COALESCE(:locale, users.locale),
                    password_hash = COALESCE(:password_hash, users.password_hash),
                    token_budget = COALESCE(:token_budget, users.token_budget), updated_at = :at
                RETURNING *
                """,
                tenant=user.tenant,
                id=user.id,
                kind=user.kind,
                roles=rows.text(user.roles),
                tier=user.tier,
                name=user.name,
                email=user.email,
                locale=user.locale,
                password_hash=user.password_hash,
                token_budget=user.token_budget,
                disabled=int(user.disabled),
                sessions_from=user.sessions_from,
                at=await rows.now(c),
            )
            assert row is not None
            return _user(row)

        return await self._db.write(work)

    async def user(self, tenant: str, id: str) -> User | None:
        async def work(c: Connection) -> User | None:
            row = await c.one(
                "SELECT * FROM users WHERE tenant = :tenant AND id = :id", tenant=tenant, id=id
            )
            return None if row is None else _user(row)

        return await self._db.read(work)

    async def user_by_login(self, tenant: str, email: str) -> User | None:
        async def work(c: Connection) -> User | None:
            row = await c.one(
                """
                SELECT * FROM users
                WHERE tenant = :tenant AND lower(email) = lower(:email)
                    AND password_hash IS NOT NULL
                """,
                tenant=tenant,
                email=email,
            )
            return None if row is None else _user(row)

        return await self._db.read(work)

    async def disable_user(self, tenant: str, id: str, *, disabled: bool) -> User:
        async def work(c: Connection) -> User:
            row = await c.one(
                """
                UPDATE users SET disabled = :disabled, updated_at = :at, sessions_from = :at
                WHERE tenant = :tenant AND id = :id
                RETURNING *
                """,
                tenant=tenant,
                id=id,
                disabled=int(disabled),
                at=await rows.now(c),
            )
            return _known_user(row, id)

        return await self._db.write(work)

    async def end_sessions(self, tenant: str, id: str) -> User:
        async def work(c: Connection) -> User:
            row = await c.one(
                """
                UPDATE users SET updated_at = :at, sessions_from = :at
                WHERE tenant = :tenant AND id = :id
                RETURNING *
                """,
                tenant=tenant,
                id=id,
                at=await rows.now(c),
            )
            return _known_user(row, id)

        return await self._db.write(work)

    async def ended_since(self, moment: int) -> list[User]:
        async def work(c: Connection) -> list[User]:
            found = await c.all(
                """
                SELECT * FROM users WHERE sessions_from > 0 AND sessions_from >= :moment
                ORDER BY sessions_from
                """,
                moment=moment,
            )
            return [_user(row) for row in found]

        return await self._db.read(work)

    async def disabled(self) -> list[User]:
        async def work(c: Connection) -> list[User]:
            return [_user(row) for row in await c.all("SELECT * FROM users WHERE disabled = 1")]

        return await self._db.read(work)

    async def become(self, tenant: str, visitor: str, user: str) -> None:
        async def work(c: Connection) -> None:
            both = {"tenant": tenant, "visitor": visitor, "user": user}
            for table in ("conversations", "feedback", "usage"):
                await c.run(
                    f"""
                    UPDATE {table} SET owner = :user
                    WHERE tenant = :tenant AND owner = :visitor
                    """,
                    **both,
                )
            # After the conversations: whoever sends in one keeps it locked until the id is settled,
            # and is seen here, or finds it gone and leaves no id. An id that both used stands for
            # what the user did with it.
            await c.run(
                """
                UPDATE idempotency SET owner = :user
                WHERE tenant = :tenant AND owner = :visitor AND NOT EXISTS (
                    SELECT 1 FROM idempotency taken
                    WHERE taken.tenant = :tenant AND taken.owner = :user
                        AND taken.id = idempotency.id)
                """,
                **both,
            )
            await c.run(
                """
                INSERT INTO users (tenant, id, kind, roles, tier, disabled, sessions_from,
                    created_at, updated_at)
                VALUES (:tenant, :visitor, :kind, :roles, :tier, 0, :at, :at, :at)
                ON CONFLICT (tenant, id) DO UPDATE SET sessions_from = :at, updated_at = :at
                """,
                tenant=tenant,
                visitor=visitor,
                kind=UserKind.VISITOR,
                roles=rows.text(()),
                tier=User(tenant=tenant, id=visitor).tier,
                at=await rows.now(c),
            )

        await self._db.write(work)

    async def add_key(self, key: Key) -> None:
        async def work(c: Connection) -> None:
            await c.run(
                """
                INSERT INTO keys (tenant, id, hash, name, user_id, scopes, expires_at,
                    created_at)
                VALUES (:tenant, :id, :hash, :name, :user, :scopes, :expires_at, :at)
                """,
                tenant=key.tenant,
                id=key.id,
                hash=key.hash,
                name=key.name,
                user=key.user,
                scopes=rows.text(key.scopes),
                expires_at=key.expires_at,
                at=await rows.now(c),
            )

        await self._db.write(work)

    async def key_by_hash(self, hash: str) -> Key | None:
        async def work(c: Connection) -> Key | None:
            row = await c.one(
                """
                SELECT * FROM keys
                WHERE hash = :hash AND revoked_at IS NULL
                    AND (expires_at IS NULL OR expires_at > :at)
                """,
                hash=hash,
                at=await rows.now(c),
            )
            return None if row is None else _key(row)

        return await self._db.read(work)

    async def keys(self, tenant: str) -> list[Key]:
        async def work(c: Connection) -> list[Key]:
            found = await c.all(
                "SELECT * FROM keys WHERE tenant = :tenant ORDER BY id", tenant=tenant
            )
            return [_key(row) for row in found]

        return await self._db.read(work)

    async def revoke_key(self, tenant: str, id: str) -> None:
        async def work(c: Connection) -> None:
            row = await c.one(
                """
                UPDATE keys SET revoked_at = COALESCE(revoked_at, :at)
                WHERE tenant = :tenant AND id = :id
                RETURNING id
                """,
                tenant=tenant,
                id=id,
                at=await rows.now(c),
            )
            if row is None:
                raise NotFound("key", id)

        await self._db.write(work)


def _tenant(row: Row) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        settings=rows.raw(row["settings"]),
        disabled=bool(row["disabled"]),
    )


def _site(row: Row) -> Site:
    return Site(
        tenant=row["tenant"],
        id=row["id"],
        public_key=row["public_key"],
        name=row["name"],
        origins=rows.names(row["origins"]),
        settings=rows.raw(row["settings"]),
        disabled=bool(row["disabled"]),
    )


def _user(row: Row) -> User:
    return User(
        tenant=row["tenant"],
        id=row["id"],
        kind=UserKind(row["kind"]),
        roles=rows.names(row["roles"]),
        tier=row["tier"],
        name=row["name"],
        email=row["email"],
        locale=row["locale"],
        password_hash=row["password_hash"],
        token_budget=row["token_budget"],
        disabled=bool(row["disabled"]),
        sessions_from=row["sessions_from"],
        created_at=row["created_at"],
    )


def _known_user(row: Row | None, id: str) -> User:
    if row is None:
        raise NotFound("user", id)
    return _user(row)


def _key(row: Row) -> Key:
    return Key(
        tenant=row["tenant"],
        id=row["id"],
        hash=row["hash"],
        name=row["name"],
        user=row["user_id"],
        scopes=rows.names(row["scopes"]),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        created_at=row["created_at"],
    )
