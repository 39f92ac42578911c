"""Browsers that are known again, on every node, until they log out."""

from __future__ import annotations

from typing import Any

from autobahn.wamp import message as autobahn

from tests.support.core import ALL, MEANT, Cluster, Node, RecorderClient, hello
from tests.unit.routing.test_moving import run
from tests.unit.routing.test_resumption import RULES
from wampha.auth.cookie import LOGOUT, METHOD, Cookie
from wampha.auth.doorway import Doorway
from wampha.auth.principals import Principals
from wampha.auth.steps import BrowserCookie
from wampha.auth.ticket import Ticket, TicketHolder, stranger
from wampha.limits import Limits
from wampha.messages.model import Abort, Challenge, Goodbye, Welcome
from wampha.state.commands import EndPeriod, ForgetCookie, Outcome, RememberCookie
from wampha.state.cookies import PERIOD_S

TICKETS = Ticket(
    Principals({name: TicketHolder("user", ticket="right") for name in ("joe", "eva")}, b"k" * 32, stranger)
)
DOORWAY = Doorway({"ticket": TICKETS, METHOD: Cookie({"ticket": TICKETS.source})})
FIRST, SECOND = (BrowserCookie(letter * 24, 25.0) for letter in "ab")


class Browser:
    """One window of a browser."""

    def __init__(
        self,
        node: Node,
        cookie: BrowserCookie | None = FIRST,
        *,
        authid: str | None = None,
        methods: tuple[str, ...] = ("cookie", "ticket"),
        realm: str = "realm1",
        **details: Any,
    ) -> None:
        """Come in by the cookie if that is possible, else by the ticket of `authid`."""
        self.client = RecorderClient()
        self.client.brought = cookie
        self.conversation = node.router.connected(self.client, DOORWAY)
        self.conversation.receive(hello(realm, authmethods=list(methods), authid=authid, **details))
        if self.client.sent and isinstance(self.last, Challenge):
            self.conversation.receive(autobahn.Authenticate("right"))

    @property
    def last(self) -> Any:
        return self.client.sent[-1]

    @property
    def method(self) -> str:
        assert isinstance(self.last, Welcome), self.last
        return str(self.last.details["authmethod"])

    def log_out(self) -> None:
        self.conversation.receive(autobahn.Goodbye(LOGOUT))


def test_who_was_let_in_once_is_known_again_on_every_node() -> None:
    cluster = Cluster("a", "b")
    assert isinstance(Browser(cluster["a"]).last, Abort), "nobody knows the cookie, and there is no authid"
    assert Browser(cluster["a"], authid="joe").method == "ticket"
    cluster.settle()
    for name in "ab":
        browser = Browser(cluster[name])
        assert (browser.method, browser.last.details["authid"]) == ("cookie", "joe")
        assert cluster[name].router.recognises(FIRST.value)
    assert isinstance(Browser(cluster["b"], SECOND).last, Abort)
    assert isinstance(Browser(cluster["b"], None).last, Abort)
    assert cluster["a"].counters["cookies_remembered"] == 1
    assert FIRST.value not in str(cluster["a"].audit) + str(cluster["b"].audit) + str(cluster.log.entries)


def test_a_cookie_is_known_in_its_realm_only() -> None:
    node = Node()
    Browser(node, authid="joe")
    assert Browser(node).method == "cookie"
    assert Browser(node, authid="joe", realm="realm2").method == "ticket"
    assert Browser(node).method == "cookie", "and that one has changed nothing"


def test_logging_out_ends_the_other_sessions_of_the_browser_and_lets_nobody_in_again() -> None:
    cluster = Cluster("a", "b")
    first = Browser(cluster["a"], authid="joe")
    cluster.settle()
    second, other = Browser(cluster["b"]), Browser(cluster["b"], SECOND, authid="joe")
    cluster.settle()
    first.log_out()
    assert isinstance(first.last, Goodbye)
    cluster.settle()
    assert isinstance(second.last, Goodbye) and second.last.reason == LOGOUT
    assert other.method == "ticket", "another browser of the same user stays"
    for name in "ab":
        assert isinstance(Browser(cluster[name]).last, Abort)
        assert not cluster[name].router.recognises(FIRST.value), "the browser is given another cookie"
        assert Browser(cluster[name], SECOND).method == "cookie"
    assert [kind for kind, _ in cluster["a"].audit if kind == "logged_out"] == ["logged_out"]
    assert cluster["a"].counters["cookies_forgotten"] == 1


def test_a_session_that_was_resumed_at_another_node_ends_with_its_user_s_logout() -> None:
    cluster = Cluster("a", "b", resumption=RULES)
    first = Browser(cluster["a"], authid="joe")
    cluster.settle()
    second = Browser(cluster["a"], resumable=True)
    assert second.method == "cookie"
    session, token = second.last.session, second.last.details["resume_token"]
    second.conversation.lost()
    run(cluster)
    resumed = Browser(cluster["b"], resume_session=session, resume_token=token)
    run(cluster)
    assert isinstance(resumed.last, Welcome) and resumed.last.session == session
    first.log_out()
    cluster.settle()
    assert isinstance(resumed.last, Goodbye) and resumed.last.reason == LOGOUT
    for node in cluster.nodes.values():
        assert not node.router._cookies._held


def test_an_ordinary_goodbye_is_no_logout() -> None:
    node = Node()
    Browser(node, authid="joe").conversation.receive(autobahn.Goodbye())
    assert Browser(node).method == "cookie"


def test_a_kill_that_says_so_logs_its_user_out() -> None:
    cluster = Cluster("a", "b", attends=True, permissions=[ALL, MEANT])
    Browser(cluster["a"], authid="joe")
    cluster.attend()
    admin = cluster["b"].join()
    cluster.attend()
    admin.ask("wamp.session.kill_by_authid", "joe", reason=LOGOUT)
    cluster.attend()
    assert isinstance(Browser(cluster["b"]).last, Abort)


def test_another_user_on_the_same_cookie_ends_it() -> None:
    node = Node()
    joe = Browser(node, authid="joe")
    eva = Browser(node, authid="eva", methods=("ticket",))
    assert isinstance(joe.last, Goodbye)
    assert eva.method == "ticket"
    assert isinstance(Browser(node).last, Abort)
    assert isinstance(Browser(node, authid="joe").last, Welcome)
    assert isinstance(Browser(node).last, Abort), "and it stays so: the next request brings another cookie"


def test_a_cookie_whose_principal_has_changed_is_followed_by_the_next_method_and_ends() -> None:
    node = Node()
    Browser(node, authid="joe")
    changed = Ticket(Principals({"joe": TicketHolder("user", ticket="new")}, b"k" * 32, stranger))
    doorway = Doorway({"ticket": changed, METHOD: Cookie({"ticket": changed.source})})
    client = RecorderClient()
    client.brought = FIRST
    conversation = node.router.connected(client, doorway)
    conversation.receive(hello(authmethods=["cookie", "ticket"], authid="joe"))
    conversation.receive(autobahn.Authenticate("new"))
    assert client.sent[-1].details["authmethod"] == "ticket"
    assert not node.router.recognises(FIRST.value)


def test_a_logout_that_is_lost_is_stated_again_until_it_has_taken_effect() -> None:
    cluster = Cluster("a", "b")
    browser, node = Browser(cluster["a"], authid="joe"), cluster["a"]
    cluster.settle()
    browser.log_out()
    for outcome in (Outcome.UNKNOWN, Outcome.DEAD):
        command, told = node.ledger.forget()
        assert isinstance(command, ForgetCookie)
        told(outcome)
        node.tick()
    node.tick()
    assert [type(command) for command, _ in node.ledger.queue] == [ForgetCookie]
    cluster.settle()
    node.tick()
    assert not node.ledger.queue
    assert isinstance(Browser(cluster["b"]).last, Abort)


def test_a_cookie_that_could_not_be_remembered_is_no_harm() -> None:
    cluster = Cluster("a")
    browser, node = Browser(cluster["a"], authid="joe"), cluster["a"]
    command, told = node.ledger.forget()
    assert isinstance(command, RememberCookie)
    told(Outcome.UNKNOWN)
    assert isinstance(browser.last, Welcome)
    assert Browser(node, authid="joe").method == "ticket"


def test_a_cookie_ends_in_time_and_only_the_leader_counts_it() -> None:
    cluster = Cluster("a", "b")
    Browser(cluster["b"], authid="joe")
    cluster.settle()
    for node in cluster.nodes.values():
        node.tick()
    passed = 0.0
    while cluster["b"].router.recognises(FIRST.value):
        assert passed <= FIRST.lifetime_s + 2 * PERIOD_S
        for node in cluster.nodes.values():
            node.tick(PERIOD_S / 4)
        cluster.settle()
        passed += PERIOD_S / 4
    assert passed >= FIRST.lifetime_s
    assert not any(isinstance(command, EndPeriod) for command in cluster["b"].ledger.proposed)
    assert isinstance(Browser(cluster["a"]).last, Abort)
    counted = len(cluster["a"].ledger.proposed)
    for _ in range(20):
        cluster["a"].tick(PERIOD_S)
    assert len(cluster["a"].ledger.proposed) == counted, "without cookies no time is counted"


def test_logouts_that_wait_are_bounded() -> None:
    cluster = Cluster("a", limits=Limits(cookies_max=2))
    for letter in "abc":
        Browser(cluster["a"], BrowserCookie(letter * 24, 60.0), authid="joe").log_out()
    assert cluster["a"].counters["cookies_crowded_out"] == 1
    cluster.settle()
    assert len(cluster["a"].ledger.tables.cookies) == 2


def test_nothing_is_held_of_sessions_that_are_over() -> None:
    node = Node()
    browsers = [Browser(node, authid="joe"), Browser(node)]
    for browser in browsers:
        browser.conversation.lost()
    cookies = node.router._cookies
    assert not cookies._held and not cookies._sessions
