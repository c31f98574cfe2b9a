using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>Sends the same descriptor so often that <see cref="UnixSocket.TrySend"/> would refuse. The kernel's own limit is 253.</summary>
internal static unsafe class ManyDescriptors
{
    public static void Send(UnixSocket socket, byte[] bytes, FileDescriptor descriptor, int count)
    {
        byte* control = stackalloc byte[16 + (256 * sizeof(int))];
        fixed (byte* pointer = bytes)
        {
            iovec vector = default;
            vector.iov_base = pointer;
            vector.iov_len = (size_t)(ulong)bytes.Length;
            msghdr message = default;
            message.msg_iov = &vector;
            message.msg_iovlen = 1;
            *(ulong*)control = (ulong)(16 + (count * sizeof(int)));
            ((int*)control)[2] = LibC.SOL_SOCKET;
            ((int*)control)[3] = LibC.SCM_RIGHTS;
            for (int i = 0; i < count; i++)
            {
                ((int*)(control + 16))[i] = descriptor.Number;
            }

            message.msg_control = control;
            message.msg_controllen = 16 + (((count * sizeof(int)) + 7) & ~7);
            Assert.Equal(bytes.Length, (long)LibC.sendmsg(socket.Number, &message, LibC.MSG_NOSIGNAL));
        }
    }
}
