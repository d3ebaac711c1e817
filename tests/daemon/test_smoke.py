from tests.daemon.session import Session, tool_hook
def test_smoke(world):
    world.start()
    s=Session()
    world.write(s, s.prompt(), s.answer(), s.call("t1"), s.result("t1"))
    world.expect(s)
    world.hook(tool_hook(s,"t2"))
    assert world.ids()==s.ids(world.key())
    world.expect(s)
