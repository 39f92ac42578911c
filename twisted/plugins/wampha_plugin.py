from twisted.application.service import ServiceMaker

wampha = ServiceMaker("wampha", "wampha.tap", "A highly available WAMP router", "wampha")
