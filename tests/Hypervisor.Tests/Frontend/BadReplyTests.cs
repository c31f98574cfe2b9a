using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Tests.Frontend;

public sealed class BadReplyTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);

    public static TheoryData<string, string> Cases() => new()
    {
        { "other id", "answered with a reply to request 2" },
        { "no reply flag", "flags of the reply" },
        { "need-reply flag left in", "flags of the reply" },
        { "version 2", "flags of the reply" },
        { "short", "holds 4 bytes in place of 8" },
        { "empty", "holds 0 bytes in place of 8" },
        { "long", "holds 16 bytes in place of 8" },
        { "endless", "holds 4294967295 bytes in place of 8" },
        { "a descriptor", "1 descriptors came with the reply" },
        { "never", "no answer within" },
        { "half a header", "no answer within" },
        { "half a payload", "no answer within" },
        { "end of stream", "closed the connection" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void H1_a_bad_reply_is_an_error_that_names_the_request_and_ends_the_connection(string kind, string expected)
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.GetStatus ? Bad(kind) : null)
        {
            ProtocolFeatures = ProtocolFeatures.ReplyAck | ProtocolFeatures.Status,
        };
        using VhostUserFrontend frontend = backEnd.Connect(s_patience);
        long start = Stopwatch.GetTimestamp();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.GetStatus());
        Assert.Contains("GET_STATUS: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(10), "an answer that never comes must not hang");

        FrontendException later = Assert.Throws<FrontendException>(() => frontend.SetFeatures(0));
        Assert.Contains("SET_FEATURES: not sent", later.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void H1_a_bad_reply_to_the_very_first_request_says_who_is_to_blame(string kind, string expected)
    {
        using var backEnd = new ScriptedBackEnd(_ => Bad(kind));
        FrontendException error = Assert.Throws<FrontendException>(() => backEnd.Connect(s_patience));
        Assert.StartsWith("GET_FEATURES: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void H1_a_refusal_is_an_error_but_the_connection_goes_on()
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.SetVringNum && message.Number >> 32 == 3 ? Answer.Of(1) : null)
        {
            ProtocolFeatures = ProtocolFeatures.ReplyAck,
        };
        using VhostUserFrontend frontend = backEnd.Connect();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.SetVringNum(0, 3));
        Assert.Equal("SET_VRING_NUM: the back-end refused it (answer 1)", error.Message);
        frontend.SetVringNum(0, 4);
    }

    [Fact]
    public void H1_a_reply_about_another_vring_is_refused()
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.GetVringBase ? Answer.Of(7) : null);
        using VhostUserFrontend frontend = backEnd.Connect();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.GetVringBase(0));
        Assert.Equal("GET_VRING_BASE: asked for vring 0, the reply is about vring 7", error.Message);
    }

    [Fact]
    public void A_config_range_that_the_back_end_refuses_is_an_error_but_the_connection_goes_on()
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.GetConfig && message.Payload.Length > 20 ? new Answer() : null)
        {
            ProtocolFeatures = ProtocolFeatures.Config,
        };
        using VhostUserFrontend frontend = backEnd.Connect();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.ReadConfig(0, 60));
        Assert.Equal("GET_CONFIG: the back-end refused 60 bytes from 0 on", error.Message);
        Assert.Equal(8, frontend.ReadConfig(0, 8).Length);
    }

    [Fact]
    public void An_unasked_reply_on_an_idle_connection_ends_it()
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.SetFeatures ? Answer.Of(0) : null);
        using VhostUserFrontend frontend = backEnd.Connect();
        frontend.SetFeatures(0); // without REPLY_ACK nobody waits for the answer that comes
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.Serve(TimeSpan.FromSeconds(10)));
        Assert.Contains("nobody asked for", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_back_end_that_leaves_is_noticed_while_the_connection_is_idle()
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.SetFeatures ? new Answer { Close = true } : null);
        using VhostUserFrontend frontend = backEnd.Connect();
        frontend.SetFeatures(0);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.Serve(TimeSpan.FromSeconds(10)));
        Assert.Equal("the back-end closed the connection", error.Message);
    }

    private static Answer Bad(string kind) => kind switch
    {
        "other id" => Answer.Of(0) with { Request = 2 },
        "no reply flag" => Answer.Of(0) with { Flags = MessageFlags.Version1 },
        "need-reply flag left in" => Answer.Of(0) with { Flags = MessageFlags.ReplyOfVersion1 | MessageFlags.NeedReply },
        "version 2" => Answer.Of(0) with { Flags = (MessageFlags)2 | MessageFlags.Reply },
        "short" => new Answer { Payload = new byte[4] },
        "empty" => new Answer(),
        "long" => new Answer { Payload = new byte[16] },
        "endless" => Answer.Of(0) with { AnnouncedBytes = uint.MaxValue },
        "a descriptor" => Answer.Of(0) with { Descriptors = 1 },
        "never" => new Answer { Silent = true },
        "half a header" => Answer.Of(0) with { CutTo = 6 },
        "half a payload" => Answer.Of(0) with { CutTo = 15 },
        "end of stream" => new Answer { Close = true },
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };
}
