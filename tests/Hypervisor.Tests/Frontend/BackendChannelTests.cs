using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Frontend;

public sealed class BackendChannelTests
{
    private const ProtocolFeatures Channel = ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq | ProtocolFeatures.Config;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_config_change_is_raised_and_acknowledged_when_that_is_wanted(bool wantsReply)
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = Channel };
        using VhostUserFrontend frontend = backEnd.Connect();
        int changes = 0;
        frontend.ConfigChanged += () => changes++;
        backEnd.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1 | (wantsReply ? MessageFlags.NeedReply : 0), []);
        frontend.Serve(s_limit);
        Assert.Equal(1, changes);
        if (wantsReply)
        {
            Assert.Equal(0UL, backEnd.ReadOnChannel());
        }
    }

    [Fact]
    public void A_back_end_that_wants_a_word_before_it_answers_gets_it()
    {
        ScriptedBackEnd? self = null;
        using var backEnd = new ScriptedBackEnd(message =>
        {
            if (message.Request == FrontendRequest.GetConfig)
            {
                self!.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1 | MessageFlags.NeedReply, []);
                Assert.Equal(0UL, self.ReadOnChannel());
            }

            return null;
        })
        { ProtocolFeatures = Channel };
        self = backEnd;
        using VhostUserFrontend frontend = backEnd.Connect();
        int changes = 0;
        frontend.ConfigChanged += () => changes++;
        Assert.Equal(8, frontend.ReadConfig(0, 8).Length);
        Assert.Equal(1, changes);
    }

    [Fact]
    public void H2_an_unknown_request_is_refused_and_the_connection_goes_on()
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = Channel };
        using VhostUserFrontend frontend = backEnd.Connect();
        backEnd.SendOnChannel(9999, MessageFlags.Version1 | MessageFlags.NeedReply, new byte[40]);
        frontend.Serve(s_limit);
        Assert.NotEqual(0UL, backEnd.ReadOnChannel());
        Assert.Equal(8, frontend.ReadConfig(0, 8).Length);
    }

    [Fact]
    public void H2_a_flood_is_handled_in_portions()
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = Channel };
        using VhostUserFrontend frontend = backEnd.Connect();
        int changes = 0;
        frontend.ConfigChanged += () => changes++;
        const int Flood = 200;
        for (int i = 0; i < Flood; i++)
        {
            backEnd.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, []);
        }

        frontend.Serve(s_limit);
        Assert.InRange(changes, 1, 64);
        for (int i = 0; i < Flood && changes < Flood; i++)
        {
            frontend.Serve(s_limit);
        }

        Assert.Equal(Flood, changes);
    }

    [Theory]
    [InlineData(uint.MaxValue, (uint)MessageFlags.Version1)]
    [InlineData(65u, (uint)MessageFlags.Version1)]
    [InlineData(0u, 2u)]
    [InlineData(0u, (uint)MessageFlags.ReplyOfVersion1)]
    public void H2_an_illegal_header_ends_the_connection(uint announcedBytes, uint flags)
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = Channel };
        using VhostUserFrontend frontend = backEnd.Connect();
        backEnd.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, (MessageFlags)flags, [], announcedBytes);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.Serve(s_limit));
        Assert.Contains("are not legal", error.Message, StringComparison.Ordinal);
        Assert.Throws<FrontendException>(() => frontend.ReadConfig(0, 8));
    }

    [Fact]
    public void H2_descriptors_that_were_not_negotiated_end_the_connection()
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = Channel };
        using VhostUserFrontend frontend = backEnd.Connect();
        using var extra = new EventFd();
        backEnd.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, [], descriptors: [extra]);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.Serve(s_limit));
        Assert.Contains("descriptors", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(200, "GET_CONFIG: no answer within")] // few enough a second
    [InlineData(int.MaxValue, "requests a second came on the back-end's own channel")]
    public void H2_one_that_only_talks_on_its_own_channel_is_given_up_in_time(int perSecond, string expected)
    {
        using var backEnd = new ScriptedBackEnd(message => message.Request == FrontendRequest.GetConfig ? new Answer { Silent = true } : null) { ProtocolFeatures = Channel };
        VhostUserFrontend frontend = backEnd.Connect(TimeSpan.FromMilliseconds(400));
        using var end = new CancellationTokenSource();
        var flood = new Thread(() =>
        {
            try
            {
                while (!end.IsCancellationRequested)
                {
                    backEnd.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, []);
                    if (perSecond < int.MaxValue)
                    {
                        Thread.Sleep(1000 / perSecond);
                    }
                }
            }
            catch (LinuxException)
            {
                // The front-end has closed its end.
            }
        });
        flood.Start();
        long start = Stopwatch.GetTimestamp();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.ReadConfig(0, 8));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(5));
        end.Cancel();
        frontend.Dispose();
        Assert.True(flood.Join(s_limit));
    }
}
