using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Session;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Session;

public sealed class FramingTests
{
    private static readonly FrontendRequest[] s_all = [.. Enum.GetValues<FrontendRequest>().Where(request => request != FrontendRequest.None)];

    [Fact]
    public void M1_messages_arrive_byte_by_byte_or_glued_together()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        foreach (byte part in Frontend.Encode(FrontendRequest.SetProtocolFeatures, Frontend.Bytes((ulong)ProtocolFeatures.ReplyAck)))
        {
            frontend.SendRaw([part]);
        }

        byte[] glued = [.. Enumerable.Range(0, 64).SelectMany(i => Frontend.Encode(FrontendRequest.SetVringNum, Frontend.Bytes(new VringState(0, 8)), needReply: true))];
        frontend.SendRaw(glued);
        for (int i = 0; i < 64; i++)
        {
            Assert.Equal(0UL, frontend.Receive()!.Word);
        }
    }

    [Fact]
    public void M2_a_peer_that_stalls_inside_a_message_is_dropped_after_the_deadline_and_the_next_one_served()
    {
        using var server = new TestServer(new EchoDevice(), options => options with { MessageDeadline = TimeSpan.FromMilliseconds(30) });
        byte[] whole = Frontend.Encode(FrontendRequest.SetVringNum, Frontend.Bytes(new VringState(0, 8)));
        for (int sent = 1; sent < whole.Length; sent++)
        {
            using Frontend stalled = server.Connect();
            stalled.SendRaw(whole.AsSpan(0, sent));
            Assert.True(stalled.IsClosed());
            server.WaitForEnd();
        }

        using Frontend patient = server.Connect();
        Assert.True(patient.IsServed());
    }

    [Fact]
    public void M3_wrong_version_reply_bit_and_reserved_flags_close()
    {
        using var server = new TestServer(new EchoDevice());
        var random = new Random(3);
        IEnumerable<uint> any = Enumerable.Range(0, 500).Select(_ => unchecked((uint)random.NextInt64())).Where(flags => (flags & ~(uint)MessageFlags.NeedReply) != 1);
        foreach (uint flags in (uint[])[0, 2, 3, 5, 13, 0x11, 0x8000_0001, uint.MaxValue, .. any])
        {
            using Frontend frontend = server.Connect();
            frontend.SendRaw(Frontend.Encode(FrontendRequest.GetFeatures, [], flags: flags));
            Assert.True(frontend.IsClosed());
            server.WaitForEnd();
        }
    }

    [Fact]
    public void M3_an_unknown_request_is_refused_and_the_connection_stays()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        frontend.Send(FrontendRequest.SetProtocolFeatures, (ulong)ProtocolFeatures.ReplyAck);
        foreach (uint id in (uint[])[0, .. Enumerable.Range(45, 0x1_0000 - 45).Select(i => (uint)i), 0x1_0001, int.MaxValue, uint.MaxValue])
        {
            Assert.False(frontend.Try((FrontendRequest)id, new byte[id % 64]));
        }

        frontend.Send((FrontendRequest)45, []);
        Assert.True(frontend.IsClosed());
    }

    [Fact]
    public void M4_a_payload_outside_the_size_range_of_its_request_closes()
    {
        using var server = new TestServer(new EchoDevice());
        foreach (FrontendRequest request in s_all)
        {
            MessageRow row = MessageTable.Find(request)!;
            foreach (long size in (long[])[row.MinBytes - 1, row.MaxBytes + 1, MessageHeader.MaxPayloadBytes + 1, uint.MaxValue])
            {
                if (size < 0 || (size > row.MaxBytes && size <= MessageHeader.MaxPayloadBytes && row.MaxBytes == MessageHeader.MaxPayloadBytes))
                {
                    continue;
                }

                using Frontend frontend = server.Connect();
                frontend.SendRaw(Frontend.Encode(request, new byte[Math.Min(size, MessageHeader.MaxPayloadBytes)], size: (uint)size));
                Assert.True(frontend.IsClosed(), $"{request} with {size} bytes");
                server.WaitForEnd();
            }
        }
    }

    [Fact]
    public void M5_descriptors_outside_the_range_of_their_request_close_and_none_is_kept()
    {
        using var server = new TestServer(new EchoDevice());
        using var eventFd = new EventFd();
        server.Connect().Dispose();
        server.WaitForEnd();
        int before = ProcessCounts.Descriptors;
        foreach (FrontendRequest request in s_all)
        {
            MessageRow row = MessageTable.Find(request)!;
            foreach (int count in (int[])[0, 1, 2, 8, 9, 32])
            {
                if (count >= row.MinDescriptors && count <= row.MaxDescriptors)
                {
                    continue;
                }

                using Frontend frontend = server.Connect();
                frontend.SendRaw(Frontend.Encode(request, new byte[row.MinBytes]), [.. Enumerable.Repeat<FileDescriptor>(eventFd, count)]);
                Assert.True(frontend.IsClosed(), $"{request} with {count} descriptors");
                server.WaitForEnd();
            }
        }

        Wait.Until(() => ProcessCounts.Descriptors <= before, "all descriptors are closed");
    }

    [Fact]
    public void M5_descriptors_of_refused_and_of_unknown_requests_are_closed()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        frontend.Send(FrontendRequest.SetProtocolFeatures, (ulong)Machine.AllProtocol);
        using var eventFd = new EventFd();
        Assert.True(frontend.IsServed());
        int before = ProcessCounts.Descriptors;
        FileDescriptor[] eight = [.. Enumerable.Repeat<FileDescriptor>(eventFd, 8)];
        Assert.False(frontend.Try((FrontendRequest)99, [], eight));
        Assert.False(frontend.Try(FrontendRequest.SetInflightFd, new byte[24], eventFd));
        Assert.False(frontend.Try(FrontendRequest.GpuSetSocket, [], eventFd));
        Assert.False(frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(200, true), eventFd));
        Assert.False(frontend.Try(FrontendRequest.SetMemTable, new byte[8], eight));
        Assert.False(frontend.Try(FrontendRequest.SetBackendReqFd, [], eventFd));
        Wait.Until(() => ProcessCounts.Descriptors <= before, "all descriptors are closed");
    }

    [Theory]
    [InlineData(33)]
    [InlineData(253)]
    public void M6_more_descriptors_than_there_is_room_for_close(int count)
    {
        using var server = new TestServer(new EchoDevice());
        using var eventFd = new EventFd();
        server.Connect().Dispose();
        server.WaitForEnd();
        int before = ProcessCounts.Descriptors;
        using (Frontend frontend = server.Connect())
        {
            ManyDescriptors.Send(frontend.Socket, Frontend.Encode(FrontendRequest.SetMemTable, new byte[8]), eventFd, count);
            Assert.True(frontend.IsClosed());
        }

        server.WaitForEnd();
        Wait.Until(() => ProcessCounts.Descriptors <= before, "all descriptors are closed");
    }

    [Fact]
    public void M6_descriptors_that_come_with_a_payload_close()
    {
        using var server = new TestServer(new EchoDevice());
        using var eventFd = new EventFd();
        server.Connect().Dispose();
        server.WaitForEnd();
        int before = ProcessCounts.Descriptors;
        using (Frontend frontend = server.Connect())
        {
            byte[] message = Frontend.Encode(FrontendRequest.SetVringNum, new byte[8]);
            frontend.SendRaw(message.AsSpan(0, MessageHeader.SizeInBytes));
            frontend.SendRaw(message.AsSpan(MessageHeader.SizeInBytes), eventFd);
            Assert.True(frontend.IsClosed());
        }

        server.WaitForEnd();
        Wait.Until(() => ProcessCounts.Descriptors <= before, "all descriptors are closed");
    }

    [Fact]
    public void M18_a_peer_that_does_not_read_its_replies_is_dropped_and_the_next_one_served()
    {
        using var server = new TestServer(new EchoDevice(), options => options with { MessageDeadline = TimeSpan.FromMilliseconds(200) });
        using Frontend deaf = server.Connect();
        byte[] question = Frontend.Encode(FrontendRequest.GetFeatures, []);
        byte[] many = [.. Enumerable.Repeat(question, 1000).SelectMany(bytes => bytes)];
        Wait.Until(
            () =>
            {
                int sent = deaf.Socket.TrySend(many);
                return sent < 0 && sent != -Errno.EAGAIN;
            },
            "the server drops the deaf peer");
        server.WaitForEnd();
        using Frontend next = server.Connect();
        Assert.True(next.IsServed());
    }
}
