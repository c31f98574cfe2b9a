using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Frontend;

public sealed class InflightTests
{
    private const ProtocolFeatures Tracking = ProtocolFeatures.ReplyAck | ProtocolFeatures.InflightShmFd;

    [Fact]
    public void The_record_goes_back_as_it_came()
    {
        using MemFd file = MemFd.Create("inflight-test", 8192);
        using ScriptedBackEnd backEnd = Answering(new InflightArea(4096, 4096, 2, 64), file, 1);
        using VhostUserFrontend frontend = backEnd.Connect(accept: FrontendOptions.Supported);
        using FrontendInflight inflight = frontend.GetInflight(2, 64)!;
        frontend.SetInflight(inflight);
        frontend.SetInflight(inflight);
        Received asked = backEnd.Received.Single(message => message.Request == FrontendRequest.GetInflightFd);
        Assert.Equal((24, 0, false), (asked.Payload.Length, asked.Descriptors, asked.WantsReply));
        Assert.Equal((0UL, 2, 64), (asked.Number, BitConverter.ToUInt16(asked.Payload, 16), BitConverter.ToUInt16(asked.Payload, 18)));
        Received[] given = [.. backEnd.Received.Where(message => message.Request == FrontendRequest.SetInflightFd)];
        Assert.Equal(2, given.Length);
        Assert.All(given, message => Assert.Equal((1, true), (message.Descriptors, message.WantsReply)));
        Assert.All(given, message => Assert.Equal(Bytes(new InflightArea(4096, 4096, 2, 64)), message.Payload));
        Assert.Equal((FileStatus.Of(file).Device, FileStatus.Of(file).Inode), (FileStatus.Of(inflight.File).Device, FileStatus.Of(inflight.File).Inode));
    }

    [Fact]
    public void A_back_end_without_a_record_to_give_is_no_error()
    {
        using ScriptedBackEnd backEnd = Answering(default, null, 0);
        using VhostUserFrontend frontend = backEnd.Connect(accept: FrontendOptions.Supported);
        Assert.Null(frontend.GetInflight(1, 64));
        frontend.SetFeatures(0); // the connection goes on
    }

    [Fact]
    public void Tracking_is_not_accepted_by_those_who_do_not_ask_for_it()
    {
        using ScriptedBackEnd backEnd = Answering(default, null, 0);
        using VhostUserFrontend frontend = backEnd.Connect();
        Assert.Contains("GET_INFLIGHT_FD", Assert.Throws<FrontendException>(() => frontend.GetInflight(1, 64)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(4096UL, 0UL, 2, 64, 0, "came with 0 descriptors")]
    [InlineData(0UL, 0UL, 2, 64, 1, "came with 1 descriptors")]
    [InlineData(4096UL, 0UL, 2, 64, 2, "at most 1")]
    [InlineData(4096UL, 0UL, 3, 64, 1, "the record is for 3 of 64")]
    [InlineData(4096UL, 0UL, 2, 65, 1, "the record is for 2 of 65")]
    [InlineData(8193UL, 0UL, 2, 64, 1, "not inside the file")]
    [InlineData(4096UL, 4097UL, 2, 64, 1, "not inside the file")]
    [InlineData(4096UL, ulong.MaxValue, 2, 64, 1, "not inside the file")]
    [InlineData(ulong.MaxValue, 4096UL, 2, 64, 1, "not inside the file")]
    public void H1_a_record_that_is_not_what_was_asked_for_ends_the_connection(ulong size, ulong offset, int queues, int queueSize, int descriptors, string expected)
    {
        using MemFd file = MemFd.Create("inflight-test", 8192);
        using ScriptedBackEnd backEnd = Answering(new InflightArea(size, offset, (ushort)queues, (ushort)queueSize), file, descriptors);
        using VhostUserFrontend frontend = backEnd.Connect(accept: FrontendOptions.Supported);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.GetInflight(2, 64));
        Assert.StartsWith("GET_INFLIGHT_FD: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Contains("SET_FEATURES: not sent", Assert.Throws<FrontendException>(() => frontend.SetFeatures(0)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void H1_a_record_in_something_that_is_no_file_ends_the_connection()
    {
        using ScriptedBackEnd backEnd = Answering(new InflightArea(64, 0, 1, 1), null, 1); // an eventfd
        using VhostUserFrontend frontend = backEnd.Connect(accept: FrontendOptions.Supported);
        Assert.Contains("not inside the file", Assert.Throws<FrontendException>(() => frontend.GetInflight(1, 1)).Message, StringComparison.Ordinal);
    }

    private static byte[] Bytes(InflightArea area) => MemoryMarshal.AsBytes(new ReadOnlySpan<InflightArea>(in area)).ToArray();

    private static ScriptedBackEnd Answering(InflightArea area, FileDescriptor? file, int descriptors) =>
        new(message => message.Request == FrontendRequest.GetInflightFd ? new Answer { Payload = Bytes(area), Descriptors = descriptors, File = file } : null)
        {
            ProtocolFeatures = Tracking,
        };
}
